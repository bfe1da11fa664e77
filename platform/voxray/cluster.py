"""Start Ray on this machine, or join the cluster that the environment names."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voxray.errors import ClusterError, MissingDependency

OBJECT_STORE_BYTES = 500_000_000
LOGICAL_CPUS = 8  # more than the cores: Train with Data hangs silently on a two-CPU cluster

ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # unset, Ray turns it on and leaves a token file behind
    "RAY_worker_niceness": "0",  # at 15, Ray's own choice, any other program starves the workers
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Set before Ray starts, where the environment does not say otherwise."""
START_TIMED_OUT = "timed out during startup"  # what Ray says of a node that is not there after 30 s


@contextmanager
def cluster() -> Iterator[None]:
    """Connect to Ray while the block runs.

    Joins `RAY_ADDRESS` where it is set (so under `ray job submit`), and otherwise starts a `local_cluster`.
    An existing connection is used as it is. Raises MissingDependency where Ray is not installed.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    try:
        import ray
    except ImportError as e:
        raise MissingDependency(
            "expected Ray, which every job runs on, got no such package; pip install 'voxray[train]'."
        ) from e
    if ray.is_initialized():
        yield
    elif os.environ.get("RAY_ADDRESS"):
        with ray.init(log_to_driver=False):
            yield
    else:
        with local_cluster():
            yield


@contextmanager
def local_cluster() -> Iterator[None]:
    """Start Ray on this machine while the block runs, with a temporary folder that is removed afterwards.

    Set what `ENVIRONMENT` names before: Ray reads it when it is imported. The cluster has at least
    `LOGICAL_CPUS`, and this checkout on the path of its workers. Raises ClusterError where the machine is too
    busy for Ray to start in time.
    """
    import ray

    temporary = tempfile.mkdtemp(prefix="vxr", dir="/tmp")  # sockets' paths must stay short
    try:
        _start(temporary)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _start(temporary: str) -> None:
    import ray

    try:
        ray.init(
            address="local",
            num_cpus=max(LOGICAL_CPUS, os.cpu_count() or 1),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}},
            _temp_dir=temporary,
        )
    except Exception as e:  # Ray has no class of its own for it
        if START_TIMED_OUT not in str(e):
            raise
        raise ClusterError(
            "expected Ray to start within its 30 s, got no answer: this machine is too busy; "
            "run the same command again."
        ) from e
