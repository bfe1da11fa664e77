from pathlib import Path

import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_INT8, bootstrap

from voxray.config import load
from voxray.errors import ConfigError

RECIPE = Path(bootstrap.__file__).with_name("bootstrap.yaml")


def test_the_recipe_is_one_that_it_takes() -> None:
    assert [stage.name for stage in load(bootstrap.BootstrapConfig, RECIPE).stages] == ["short", "long"]


def test_the_unseen_speaker_stays_unseen(tmp_path: Path) -> None:
    config = bootstrap.BootstrapConfig(out=tmp_path, stages=(), speakers=("george", "nicolas"))

    with pytest.raises(ConfigError, match="nicolas is the unseen speaker"):
        bootstrap.run(config)


def test_the_small_model_is_small() -> None:
    files = (f for folder in (SMALL_MODEL, SMALL_MODEL_INT8) for f in folder.iterdir())

    assert sum(f.stat().st_size for f in files) <= 20_000_000
