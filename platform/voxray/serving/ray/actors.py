"""Buffer actors: session hosts in Ray actors, which outlive the Serve replica of a gateway."""

import asyncio
import logging
import time
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from voxray.serving.audio_input.voice_activity import SileroModel
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.corrections.writer import FinalWriter
from voxray.serving.observe import Observe
from voxray.serving.placement.table import Load
from voxray.serving.protocol import Call, Heartbeat, HostGone, Opened, Opening, Refused, Reply
from voxray.serving.ray.names import NAMESPACE, TRANSCRIBER, Service
from voxray.serving.ray.observations import Observations
from voxray.serving.sessions.async_host import AsyncHost
from voxray.serving.sessions.final_recorder import FinalSinks, no_sink
from voxray.serving.sessions.host import SessionHost
from voxray.serving.settings import ServiceArgs

IDLE_S = 120.0  # without a call of a gateway, or of a directory that wants to keep it
RETRY_S = (0.1, 0.2, 0.5, 1.0)  # before the next transcriber is asked for; the last one repeats
FIRST_S = 30.0  # for the first heartbeat of a transcriber, which may have to start
SILENT_S = 10.0  # for every other heartbeat; one comes each second
LOST_S = 120.0
CONCURRENT_CALLS = 1_000

log = logging.getLogger(__name__)


class BufferActor(AsyncHost):
    """One host in a process of its own. `run` finds transcribers for it, and ends it when it is unused."""

    def __init__(self, service: Service, number: int) -> None:
        self._service = service
        self._number = number
        self._running = False
        self._heartbeat_s = time.monotonic()
        self._observations = Observations()
        args, new_detector = service.args, SileroModel().detector
        super().__init__(
            SessionHost(
                number,
                args.limits,
                args.decoding,
                new_detector,
                model=args.model,
                observe=self._observations,
                sink_of=_sinks(args, self._observations),
            )
        )

    async def load(self, keep: bool) -> Load:
        """Return the load for the directory; with `keep`, this actor must not end."""
        if keep:
            self.called_s = time.monotonic()
        node = ray.get_runtime_context().get_node_id()
        return Load(self._number, node, self._host.sessions, self._host.gateways)

    async def totals(self) -> dict[str, float]:
        """See `Observations.totals`."""
        return self._observations.totals()

    async def run(self) -> None:
        """Serve until no call has come for `IDLE_S`, then end the process.

        It also ends after a fault of its own, and after `LOST_S` without a transcriber: its clients then get
        new sessions from another actor, whose handle has a new view of Serve. Calls but the first return at
        once: each directory makes one, as that of the one which started this actor may have died with it.
        """
        if self._running:
            return
        self._running = True
        tasks = [asyncio.create_task(self.sweep()), asyncio.create_task(self._find_transcribers())]
        try:
            while self._host.sessions or time.monotonic() - self.called_s < IDLE_S:
                await asyncio.wait(tasks, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                if any(task.done() for task in tasks) or time.monotonic() - self._heartbeat_s > LOST_S:
                    log.error("ending: %s", [t.exception() for t in tasks if t.done()] or "no transcriber")
                    return
        finally:
            ray.actor.exit_actor()  # type: ignore[no-untyped-call]  # Ray gives it no types

    async def _find_transcribers(self) -> None:
        """Give leases to one transcriber after another, until cancelled."""
        failures = 0
        while True:
            before_s = self._heartbeat_s
            try:
                await self._work_with_one()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task and task.cancelling():
                    raise  # this task; otherwise the transcriber cancelled the stream
            except Exception as e:  # Ray's errors have no common base, and all mean this
                log.warning("transcriber lost (%s: %s)", type(e).__name__, str(e).splitlines()[:1])
            failures = 0 if self._heartbeat_s > before_s else failures + 1
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])

    async def _work_with_one(self) -> None:
        """Give one lease, until its transcriber ends it, dies, or is silent for `SILENT_S`."""
        me = ray.get_runtime_context().current_actor
        handle = serve.get_deployment_handle(TRANSCRIBER, self._service.app)
        heartbeats: Any = handle.options(stream=True).attach.remote(me, self.new_lease())
        limit_s = FIRST_S
        while True:
            async with asyncio.timeout(limit_s):
                try:
                    heartbeat: Heartbeat = await anext(heartbeats)
                except StopAsyncIteration:
                    return
            self._host.model, self._host.languages = heartbeat.model, heartbeat.languages
            self._heartbeat_s, limit_s = time.monotonic(), SILENT_S


def _sinks(args: ServiceArgs, observe: Observe) -> FinalSinks:
    """Return where finals go, for the actor's life."""
    if not args.corrections.dir:
        return no_sink
    return FinalWriter(CorrectionStore(args.corrections), observe).sink_of


class RayHost:
    """A `protocol.Host`: a buffer actor, as a gateway sees it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def open(self, opening: Opening) -> Opened | Refused:
        """See `protocol.Host.open`."""
        opened: Opened | Refused = await answered(self._actor.open.remote(opening))
        return opened

    async def tick(self, call: Call) -> Reply:
        """See `protocol.Host.tick`."""
        reply: Reply = await answered(self._actor.tick.remote(call))
        return reply


def start_actor(service: Service, number: int, node: str | None) -> Any:
    """Start a buffer actor, detached, on `node` if it is there, and its `run`.

    Ray would start an actor that needs no CPUs on any node, a head that is to do no work included.
    """
    strategy = NodeAffinitySchedulingStrategy(node, soft=True) if node else "DEFAULT"
    actor: Any = (
        ray.remote(BufferActor)
        .options(
            name=service.host(number),
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            scheduling_strategy=strategy,
            max_concurrency=CONCURRENT_CALLS,
        )
        .remote(service, number)
    )
    actor.run.remote()
    return actor


async def answered(ref: Any) -> Any:
    """Return what a call of an actor returns; HostGone where the actor has died."""
    try:
        return await ref
    except RayActorError as e:
        raise HostGone(str(e).splitlines()[0]) from e
