import pickle

import pytest

from voxray import errors
from voxray.errors import VoxrayError

EVERY = [
    c
    for c in vars(errors).values()
    if isinstance(c, type) and issubclass(c, VoxrayError) and c is not VoxrayError
]


@pytest.mark.parametrize("cls", EVERY)
def test_each_class_survives_pickling_with_its_message(cls: type[VoxrayError]) -> None:
    error = pickle.loads(pickle.dumps(cls("clip.wav: expected audio, got an empty file.")))

    assert type(error) is cls
    assert str(error) == "clip.wav: expected audio, got an empty file."


@pytest.mark.parametrize("cls", EVERY)
def test_each_class_is_also_the_standard_one_that_the_tree_names(cls: type[VoxrayError]) -> None:
    (line,) = [line for line in (errors.__doc__ or "").splitlines() if f"─ {cls.__name__} " in line]
    standard = line.split("(")[1].split(")")[0]

    assert standard in {base.__name__ for base in cls.__mro__}
    assert cls.__mro__[1] is VoxrayError


def test_the_tree_in_the_docstring_is_whole() -> None:
    assert len([line for line in (errors.__doc__ or "").splitlines() if "──" in line]) == len(EVERY)
