"""A training on a cluster without GPUs, whose autoscaler (with Ray's fake node provider) adds a GPU node."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.util import get_node_ip_address
from tests.cluster.test_sweep import free_ports
from tests.service.launched import wait_until
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS
from tests.unit.serving.trainings.test_store import made

from voxray.cluster import OBJECT_STORE_BYTES
from voxray.serving.trainings.store import TrainingStore

pytestmark = pytest.mark.ray

HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"  # as the fake provider has it
HEAD, GPU = {"CPU": 2}, {"CPU": 1, "GPU": 1, "object_store_memory": OBJECT_STORE_BYTES}
LIMIT_S = 120.0


def autoscaling(address: str) -> dict[str, Any]:
    """The configuration of a cluster that starts with no GPU node and may have one."""
    node_types = {
        "ray.head.default": {"resources": HEAD, "node_config": {}, "max_workers": 0},
        "gpu": {"resources": GPU, "node_config": {}, "min_workers": 0, "max_workers": 1},
    }
    return {
        "cluster_name": "fake",
        "max_workers": 1,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "use_node_id_as_ip": True,  # all nodes have one address
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": node_types,
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts_sync_continuously": False,
        **{
            f"{key}_commands": []
            for key in (
                "initialization",
                "setup",
                "head_setup",
                "worker_setup",
                "head_start_ray",
                "worker_start_ray",
            )
        },
    }


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster of a head without GPUs, and of its autoscaler."""
    folder = tmp_path_factory.mktemp("a")
    ports = free_ports(3)
    ip: str = get_node_ip_address()  # type: ignore[no-untyped-call]  # Ray's own
    address = f"{ip}:{ports[0]}"
    (folder / "autoscaling.json").write_text(json.dumps(autoscaling(address)))
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    words += [f"--num-cpus={HEAD['CPU']}", "--num-gpus=0", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    words += [f"--temp-dir={folder}", "--include-dashboard=false"]
    words += [f"--autoscaling-config={folder / 'autoscaling.json'}"]
    names = ("--port", "--dashboard-agent-listen-port", "--ray-client-server-port")
    words += [f"{name}={port}" for name, port in zip(names, ports, strict=True)]
    fake = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, **fake}) as process:
        yield address
        head = psutil.Process(process.pid)
        everything = [head, *head.children(recursive=True)]  # the added node, too
        process.terminate()
        _, left = psutil.wait_procs(everything, timeout=3)
        for one in left:
            one.kill()


def test_a_training_waits_for_the_gpu_node_that_the_autoscaler_adds(address: str, tmp_path: Path) -> None:
    store = TrainingStore(tmp_path)
    folder = made(store, model=str(SMALL_MODEL), corpus=str(SMALL_MODEL_CLIPS), keys={"max_steps": "2"})
    command = [sys.executable, "-m", "tests.cluster.submit_training", address, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as gateway, ended_at_last(gateway):
        assert gateway.stdout
        shown = map(json.loads, gateway.stdout)
        first = next(shown)
        assert first["status"] == "queued"
        assert first["progress"] == "queued: no node has 1 CPU and 1 GPU; waiting for one that is added"
        assert any(training["status"] == "running" for training in shown)

        wait_until(lambda: folder.line("phase") or folder.state.status.final, LIMIT_S)
        assert folder.state.status == "running", folder.log.read_text()
        (job,) = (
            p for p in psutil.process_iter(["cmdline"]) if str(folder.path) in (p.info["cmdline"] or ())
        )
        assert job.environ()["CUDA_VISIBLE_DEVICES"] == "0"  # the device that was reserved

        folder.cancel()
        assert [training["status"] for training in shown][-1] == "cancelled"


@contextmanager
def ended_at_last(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill `process` if it runs when the block ends."""
    try:
        yield
    finally:
        process.kill()
