import importlib
from pathlib import Path

import pytest

from voxray.config import Config, load

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted((ROOT / "jobs" / "configs").glob("*.yaml"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda f: f.stem)
def test_every_configuration_of_a_job_is_one_that_it_takes(file: Path) -> None:
    job = file.stem.partition("-")[0]
    recipe = importlib.import_module(f"voxray.recipes.{job}")
    name = "".join(part.title() for part in job.split("_")) + "Config"
    config: type[Config] = getattr(recipe, name)
    assert isinstance(load(config, file), config)
