"""Trainings as detached actors of Ray: queued until a node has their resources, and alive without Serve.

`make serve` has no dashboard, and Ray's own jobs need one and fail after 15 minutes in the queue: an actor
waits for as long as it takes, asks the autoscaler for a node, and is started elsewhere if its node is lost.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from voxray.serving.ray.names import NAMESPACE
from voxray.serving.settings import TrainingSettings
from voxray.serving.trainings.states import TrainingRequest, TrainingStatus
from voxray.serving.trainings.store import TrainingFolder
from voxray.serving.trainings.supervisor import TERM_S, check, supervise

STOP_S = TERM_S + 15.0
POLL_S = 0.2

log = logging.getLogger(__name__)


class TrainingActor:
    """A supervisor in a process of its own. It begins by itself, also where Ray starts it again, and ends
    itself.
    """

    def __init__(self, folder: Path, settings: TrainingSettings) -> None:
        threading.Thread(target=self._run, args=(TrainingFolder(folder), settings), daemon=True).start()

    def _run(self, folder: TrainingFolder, settings: TrainingSettings) -> None:
        if not folder.path.exists():
            log.warning("%s is not on this node: deleted, or on storage that this node lacks", folder.path)
        try:
            supervise(folder, settings)
        except Exception:
            log.exception("the supervisor of %s failed", folder.id)
        finally:
            ray.kill(ray.get_runtime_context().current_actor)


class RayTrainingRunner:
    """A `trainings.service.TrainingRunner` on this cluster."""

    def __init__(self, settings: TrainingSettings) -> None:
        assert settings.dir
        self._directory, self._settings = settings.dir.resolve(), settings

    async def check(self, request: TrainingRequest) -> None:
        """As `TrainingRunner.check`, in a process beside this one."""
        await check(request, self._settings)

    async def start(self, id: str) -> None:
        """As `TrainingRunner.start`: the actor's name is the training's id."""
        await asyncio.to_thread(self._start, id)

    def _start(self, id: str) -> None:
        ray.remote(TrainingActor).options(
            name=id,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=self._settings.cpus,
            num_gpus=self._settings.gpus,
            max_restarts=-1,  # `supervise` counts them
        ).remote(self._directory / id, self._settings)

    async def queue_reason(self) -> str:
        """As `TrainingRunner.queue_reason`, from the nodes of this cluster."""
        nodes = [node["Resources"] for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
        return queue_reason({"CPU": self._settings.cpus, "GPU": self._settings.gpus}, nodes)

    async def stop(self, folder: TrainingFolder) -> None:
        """As `TrainingRunner.stop`. An actor in the queue is removed, one that runs ends by itself first."""
        until_s = time.monotonic() + STOP_S
        while time.monotonic() < until_s and _runs(folder) and await asyncio.to_thread(_actor, folder.id):
            await asyncio.sleep(POLL_S)
        if actor := await asyncio.to_thread(_actor, folder.id):
            ray.kill(actor)


def queue_reason(wanted: Mapping[str, float], nodes: Iterable[Mapping[str, float]]) -> str:
    """Return what a training that needs `wanted` waits for; `nodes` have the resources that are given."""
    named = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items() if amount)
    if any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        return f"waiting for {named} to be free"
    return f"no node has {named}; waiting for one that is added"


def _runs(folder: TrainingFolder) -> bool:
    with suppress(FileNotFoundError):
        return folder.written_state.status is TrainingStatus.RUNNING
    return False


def _actor(id: str) -> Any:
    """Return the actor of a training, or None."""
    with suppress(ValueError):
        return ray.get_actor(id, NAMESPACE)
    return None
