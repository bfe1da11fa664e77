"""Buffer actors: hosts of sessions in Ray actors, outside the Serve replicas, so that a gateway can go."""

import asyncio
import logging
import time
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError, RayError

from voxray.serving.buffers.host import SessionHost
from voxray.serving.buffers.hosting import AsyncHost
from voxray.serving.buffers.placement import Load
from voxray.serving.buffers.voice import SileroVoice
from voxray.serving.calls import Call, HostGone, Opened, Opening, Refused, Reply
from voxray.serving.names import NAMESPACE, TRANSCRIBER, Service
from voxray.serving.observing import Observations

IDLE_S = 120.0  # without a call of a gateway, or of a directory that wants it kept
RETRY_S = (0.1, 0.2, 0.5, 1.0)  # before the next transcriber is asked for; the last again and again
CONCURRENT_CALLS = 1_000

log = logging.getLogger(__name__)


class BufferActor(AsyncHost):
    """One host in a process of its own. It looks for a transcriber, and ends when nobody wants it."""

    def __init__(self, service: Service, number: int) -> None:
        self._service = service
        self._number = number
        self._called_s = time.monotonic()
        self._observed = Observations()
        args = service.args
        super().__init__(
            SessionHost(
                number,
                args.limits,
                args.decoding,
                SileroVoice(),
                model=args.model,
                observe=self._observed,
            )
        )

    async def open(self, opening: Opening) -> Opened | Refused:
        """As `AsyncHost.open`."""
        self._called_s = time.monotonic()
        return await super().open(opening)

    async def tick(self, call: Call) -> Reply:
        """As `AsyncHost.tick`."""
        self._called_s = time.monotonic()
        return await super().tick(call)

    async def load(self, keep: bool) -> Load:
        """What the directory places sessions by; `keep`: it wants this actor to stay."""
        if keep:
            self._called_s = time.monotonic()
        node = ray.get_runtime_context().get_node_id()
        return Load(self._number, node, self._host.sessions, self._host.gateways)

    async def totals(self) -> dict[str, float]:
        """What was observed so far; see `Observations`."""
        return self._observed.totals()

    async def run(self) -> None:
        """Serve until nobody has called for `IDLE_S`, then end the process."""
        tasks = [asyncio.create_task(self.sweep()), asyncio.create_task(self._find_transcribers())]
        while self._host.sessions or time.monotonic() - self._called_s < IDLE_S:
            await asyncio.sleep(1.0)
            for task in tasks:
                if task.done():
                    task.result()  # a bug: end with it, so that sessions go on elsewhere
        ray.actor.exit_actor()  # type: ignore[no-untyped-call]  # Ray gives it no types

    async def _find_transcribers(self) -> None:
        """Hold a lease at one transcriber after another, for ever."""
        me = ray.get_runtime_context().current_actor
        failures = 0
        while True:
            try:
                handle = serve.get_deployment_handle(TRANSCRIBER, self._service.app)
                work: Any = handle.options(stream=True).attach.remote(me, self.new_lease())
                async for model in work:
                    self._host.model, failures = model, 0
            except (RayError, serve.exceptions.RayServeException, RuntimeError) as e:
                log.warning("transcriber lost (%s); looking for another", type(e).__name__)
            failures += 1
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S)) - 1])


class RayHost:
    """A buffer actor as a gateway sees it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def open(self, opening: Opening) -> Opened | Refused:
        """As `calls.Host.open`."""
        opened: Opened | Refused = await _answered(self._actor.open.remote(opening))
        return opened

    async def tick(self, call: Call) -> Reply:
        """As `calls.Host.tick`."""
        reply: Reply = await _answered(self._actor.tick.remote(call))
        return reply


def start_actor(service: Service, number: int) -> Any:
    """A new buffer actor, detached, and running."""
    actor: Any = (
        ray.remote(BufferActor)
        .options(
            name=service.host(number),
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            max_concurrency=CONCURRENT_CALLS,
        )
        .remote(service, number)
    )
    actor.run.remote()
    return actor


async def _answered(ref: Any) -> Any:
    try:
        return await ref
    except RayActorError as e:
        raise HostGone(str(e).splitlines()[0]) from e
