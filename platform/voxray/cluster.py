"""Start Ray on this machine, or join the cluster that the environment names."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from voxray.errors import MissingDependency

OBJECT_STORE_BYTES = 500_000_000
LOGICAL_CPUS = 8  # more than the cores: Train with Data hangs silently on a two-CPU cluster

ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # unset, Ray turns it on and leaves a token file behind
    "RAY_worker_niceness": "0",  # at 15, Ray's own choice, any other program starves the workers
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Set before Ray starts, where the environment does not say otherwise."""


@contextmanager
def cluster() -> Iterator[None]:
    """Ray, connected while the block runs.

    Joins `RAY_ADDRESS` where it is set (so under `ray job submit`); otherwise starts a local cluster with
    `LOGICAL_CPUS` and its own temporary folder, and ends it afterwards. An existing connection is
    used as it is.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    try:
        import ray
    except ImportError as e:
        raise MissingDependency(
            "expected Ray, which every job runs on, and it is not installed; pip install 'voxray[train]'."
        ) from e
    if ray.is_initialized():
        yield
        return
    temporary = tempfile.mkdtemp(prefix="vxr", dir="/tmp")  # sockets' paths must stay short
    try:
        _start(ray, temporary)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _start(ray: ModuleType, temporary: str) -> None:
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
        return
    source = str(Path(__file__).resolve().parents[1])
    ray.init(
        address="local",
        num_cpus=max(LOGICAL_CPUS, os.cpu_count() or 1),
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": source}},
        _temp_dir=temporary,
    )
