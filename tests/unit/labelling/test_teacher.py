from collections.abc import Callable
from pathlib import Path

import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_INT8

from voxray.errors import ConfigError
from voxray.labelling.pieces import LABEL_SCHEMA
from voxray.labelling.shards import Shards
from voxray.labelling.teacher import check_teacher
from voxray.whisper.models import source_digest

MadeBy = Callable[[str], Path]


@pytest.fixture
def made_by(tmp_path: Path) -> MadeBy:
    """Labels, none of them, of the teacher with this digest."""

    def write(teacher: str) -> Path:
        with Shards(tmp_path, "b", teacher).open() as shards:
            shards.commit(LABEL_SCHEMA.empty_table(), ["a"], [])
        return tmp_path

    return write


def test_labels_of_the_teacher_itself_are_taken(made_by: MadeBy) -> None:
    check_teacher(made_by(source_digest(str(SMALL_MODEL))), str(SMALL_MODEL))


def test_labels_of_another_teacher_are_refused(made_by: MadeBy) -> None:
    with pytest.raises(ConfigError, match=r"got those of another model \(0123456789ab\)"):
        check_teacher(made_by("0123456789abcdef"), str(SMALL_MODEL))


def test_labels_that_name_no_teacher_are_taken(made_by: MadeBy) -> None:
    check_teacher(made_by(""), str(SMALL_MODEL))


def test_an_export_labels_as_its_source() -> None:
    assert source_digest(str(SMALL_MODEL_INT8)) == source_digest(str(SMALL_MODEL))
