"""A Ray cluster of several nodes on this machine, for tests that lose one."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray._common.utils import get_default_ray_temp_dir
from ray.cluster_utils import Cluster

from voxray.cluster import LOGICAL_CPUS, OBJECT_STORE_BYTES

NODE: dict[str, Any] = {"num_cpus": LOGICAL_CPUS, "object_store_memory": OBJECT_STORE_BYTES}


@contextmanager
def cluster_of(nodes: int, num_cpus: int = LOGICAL_CPUS) -> Iterator[tuple[Cluster, list[Any]]]:
    """A head that computes nothing, and `nodes` that do; all end with the block.

    Each of them starts `num_cpus` workers ahead.
    """
    folder = tempfile.mkdtemp(prefix="vxn", dir="/tmp")  # sockets' paths must stay short
    default_folder = Path(get_default_ray_temp_dir())  # type: ignore[no-untyped-call]  # Ray's own
    default_folder.mkdir(parents=True, exist_ok=True)  # the cluster's address is written there too
    head = {"num_cpus": 0, "object_store_memory": OBJECT_STORE_BYTES}
    cluster = Cluster(
        initialize_head=True, head_node_args={**head, "include_dashboard": False, "temp_dir": folder}
    )
    try:
        yield cluster, [cluster.add_node(**NODE | {"num_cpus": num_cpus}) for _ in range(nodes)]
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]  # Ray's own
        shutil.rmtree(folder, ignore_errors=True)


def processes(node: Any, name: str) -> list[psutil.Process]:
    """The workers of `node` with `name` in their command line."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [p for p in raylet.children(recursive=True) if name in "".join(p.cmdline())]


def node_of(nodes: list[Any], name: str) -> Any:
    """The first of `nodes` with such a worker; the test fails where there is none."""
    return next((n for n in nodes if processes(n, name)), None) or pytest.fail(f"no node has a {name}")
