"""Buffer actors: hosts of sessions in Ray actors, outside the Serve replicas, so that a gateway can go."""

import asyncio
import logging
import time
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError

from voxray.serving.audio_input.voice_activity import SileroDetector
from voxray.serving.placement.table import Load
from voxray.serving.protocol import Beat, Call, HostGone, Opened, Opening, Refused, Reply
from voxray.serving.ray.names import NAMESPACE, TRANSCRIBER, Service
from voxray.serving.ray.observations import Observations
from voxray.serving.sessions.async_host import AsyncHost
from voxray.serving.sessions.host import SessionHost

IDLE_S = 120.0  # without a call of a gateway, or of a directory that wants it kept
RETRY_S = (0.1, 0.2, 0.5, 1.0)  # before the next transcriber is asked for; the last again and again
FIRST_S = 30.0  # until a transcriber is free to answer
SILENT_S = 10.0  # then it beats each second
LOST_S = 120.0
CONCURRENT_CALLS = 1_000

log = logging.getLogger(__name__)


class BufferActor(AsyncHost):
    """One host in a process of its own. It looks for a transcriber, and ends when nobody wants it."""

    def __init__(self, service: Service, number: int) -> None:
        self._service = service
        self._number = number
        self._called_s = self._heard_s = time.monotonic()
        self._observed = Observations()
        args = service.args
        super().__init__(
            SessionHost(
                number,
                args.limits,
                args.decoding,
                SileroDetector(),
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
        """Serve until nobody has called for `IDLE_S`, then end the process.

        So it does after a fault of its own, and where no transcriber was found for `LOST_S`: its sessions
        then begin anew at another actor, and its handle's view of Serve, which may be an old one, goes too.
        """
        tasks = [asyncio.create_task(self.sweep()), asyncio.create_task(self._find_transcribers())]
        try:
            while self._host.sessions or time.monotonic() - self._called_s < IDLE_S:
                await asyncio.wait(tasks, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                if any(task.done() for task in tasks) or time.monotonic() - self._heard_s > LOST_S:
                    log.error("ending: %s", [t.exception() for t in tasks if t.done()] or "no transcriber")
                    return
        finally:
            ray.actor.exit_actor()  # type: ignore[no-untyped-call]  # Ray gives it no types

    async def _find_transcribers(self) -> None:
        """Hold a lease at one transcriber after another, for ever."""
        failures = 0
        while True:
            before_s = self._heard_s
            try:
                await self._work_with_one()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task and task.cancelling():
                    raise  # ours; otherwise the stream was cancelled at its other end
            except Exception as e:  # Ray's errors have no common base; what they mean is the same
                log.warning("transcriber lost (%s: %s)", type(e).__name__, str(e).splitlines()[:1])
            failures = 0 if self._heard_s > before_s else failures + 1
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])

    async def _work_with_one(self) -> None:
        """One lease, until its transcriber ends it, dies, or is silent for `SILENT_S`."""
        me = ray.get_runtime_context().current_actor
        handle = serve.get_deployment_handle(TRANSCRIBER, self._service.app)
        beats: Any = handle.options(stream=True).attach.remote(me, self.new_lease())
        limit_s = FIRST_S
        while True:
            async with asyncio.timeout(limit_s):
                try:
                    beat: Beat = await anext(beats)
                except StopAsyncIteration:
                    return
            self._host.model, self._host.languages = beat.model, beat.languages
            self._heard_s, limit_s = time.monotonic(), SILENT_S


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
