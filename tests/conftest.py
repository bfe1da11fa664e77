"""What every test shares: an environment without surprises, and properties that repeat themselves."""

import os
from importlib.resources import files
from pathlib import Path

import ctranslate2
import pytest
from hypothesis import HealthCheck, settings

# Unset, Ray turns token authentication on and leaves a token file that later clusters inherit.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# No deadline: shared machines stall. Derandomised: the same commit gives the same result twice.
settings.register_profile(
    "voxray", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], max_examples=60
)
settings.load_profile("voxray")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are skipped, with the reason, where there is no CUDA device.

    Of several processes (pytest-xdist), one has all those that start a cluster.
    """
    has_gpu = ctranslate2.get_cuda_device_count() > 0
    for item in items:
        if item.get_closest_marker("gpu") and not has_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and this machine has none"))
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("cluster"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def assets() -> Path:
    """What comes with the package: `clips`, `docs`, `page`."""
    return Path(str(files("voxray") / "assets"))
