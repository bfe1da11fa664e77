"""Start Ray on this machine, or join the cluster that the environment names."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OBJECT_STORE_BYTES = 500_000_000
LOGICAL_CPUS = 8  # more than the cores: Train with Data hangs silently on a two-CPU cluster


@contextmanager
def cluster() -> Iterator[None]:
    """Ray, connected while the block runs.

    Joins `RAY_ADDRESS` where it is set (so under `ray job submit`); otherwise starts a local cluster with
    `LOGICAL_CPUS` and its own temporary folder, and ends it afterwards. An existing connection is
    used as it is.
    """
    os.environ.setdefault(
        "RAY_AUTH_MODE", "disabled"
    )  # unset, Ray turns it on and leaves a token file behind
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False)
    else:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        source = str(Path(__file__).resolve().parents[1])
        ray.init(
            address="local",
            num_cpus=max(LOGICAL_CPUS, os.cpu_count() or 1),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": source}},
            _temp_dir=tempfile.mkdtemp(prefix="vxr", dir="/tmp"),
        )
    try:
        yield
    finally:
        ray.shutdown()
