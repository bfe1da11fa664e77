"""One Ray cluster for all tests that need one; it ends with them, and no other is touched."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import voxray
from voxray.cluster import LOGICAL_CPUS, OBJECT_STORE_BYTES


@pytest.fixture(scope="session")
def ray() -> Iterator[None]:
    """A local cluster with its own temporary folder, connected."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    import ray

    folder = tempfile.mkdtemp(prefix="vxt", dir="/tmp")  # sockets' paths must stay short
    ray.init(
        address="local",
        num_cpus=LOGICAL_CPUS,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(voxray.__file__).parents[1])}},
        _temp_dir=folder,
    )
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
