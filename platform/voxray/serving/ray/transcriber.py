"""The Transcriber deployment: one model per replica, leased to buffer actors, scaled on queue delay."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from ray.exceptions import RayActorError
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from voxray.audio import Pcm
from voxray.serving.protocol import Answer, Beat, HostGone, Job
from voxray.serving.ray.observations import Observations
from voxray.serving.settings import ServiceArgs, Transcribers
from voxray.serving.transcriber.decoder import Decoder
from voxray.serving.transcriber.scheduler import SchedulerOptions
from voxray.serving.transcriber.service import DecodeService
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, DecodingResult
from voxray.whisper.models import ctranslate2_folder

HEALTH_S = 1.0  # Serve's health checks; it stops them on a replica that is to go
DRAIN_AFTER = 6  # of them missed; a busy controller misses some
STUCK_S = 60.0  # a batch that runs for so long never ends
BEAT_S = 1.0
SHED_AFTER_S = 5.0
DELAY = "queue_delay_s"


class RemoteSource:
    """A buffer actor as a transcriber sees it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._released = False

    def release(self) -> None:
        """Give the lease back: nothing more is taken, and the actor looks for another transcriber."""
        self._released = True

    async def take(self, lease: int) -> list[Job] | None:
        """As `protocol.Source.take`."""
        if self._released:
            return None
        try:
            jobs: list[Job] | None = await self._actor.take.remote(lease)
        except RayActorError as e:
            raise HostGone(str(e).splitlines()[0]) from e
        return jobs

    async def deliver(self, lease: int, answers: list[Answer]) -> None:
        """As `protocol.Source.deliver`."""
        try:
            await self._actor.deliver.remote(lease, answers)
        except RayActorError as e:
            raise HostGone(str(e).splitlines()[0]) from e


class Transcriber:
    """A replica. Serve's health checks are its heartbeat: when they stop, its leases end."""

    def __init__(self, args: ServiceArgs) -> None:
        decoding = args.decoding
        self._name = args.model
        self._engine = CTranslate2Engine(
            ctranslate2_folder(args.model),
            device=decoding.device,
            compute_type=decoding.compute_type,
            threads=decoding.threads or max(1, round(args.transcriber.cpus)),
        )
        options = SchedulerOptions(max_batch=decoding.max_batch, fill_s=decoding.fill_ms / 1000)
        self._observed = Observations()
        self._longest_s = 0.0  # that a window has waited since Serve last asked
        self._decoder = Decoder(self._engine)
        self._service = DecodeService(self._decoder, options, self._observe)
        self._leases: list[RemoteSource] = []
        self._scaled = args.transcriber
        self._checked_s = self._relaxed_s = time.monotonic()
        self._drained = False
        self._watching: asyncio.Task[None] | None = None

    async def attach(self, host: Any, lease: int) -> AsyncIterator[Beat]:
        """Work for a buffer actor under its `lease` as long as this goes on; a beat each second."""
        self._watching = self._watching or asyncio.create_task(self._watch())
        source = RemoteSource(host)
        work = asyncio.create_task(self._service.serve(source, lease))
        self._leases.append(source)
        try:
            while not work.done():
                yield Beat(self._name, self._decoder.languages)
                await asyncio.wait([work], timeout=BEAT_S)
            await work
        finally:
            self._leases.remove(source)
            work.cancel()

    async def transcribe(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[DecodingResult]:
        """Windows of a file, between the live ones."""
        return await self._service.transcribe([np.asarray(c) for c in clips], options)

    async def describe(self) -> tuple[float, tuple[str, ...]]:
        """The model's smallest window in seconds, and the languages that it was trained on."""
        return self._engine.min_window_s, self._decoder.languages

    async def totals(self) -> dict[str, float]:
        """What was observed so far; see `Observations`."""
        return self._observed.totals()

    async def check_health(self) -> None:
        """Called by Serve as long as this replica is to stay. What it raises has the replica replaced.

        One that drained because Serve was silent for long, and is asked again, has to go as well.
        """
        if self._drained:
            raise RuntimeError("expected to be stopped, and was not; this replica has given back its work.")
        if (stuck_s := self._service.stuck_s()) > STUCK_S:
            raise RuntimeError(f"expected a batch to end within {STUCK_S:g} s; one runs for {stuck_s:.0f} s.")
        self._checked_s = time.monotonic()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `ScaleOnDelay` goes by."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return {DELAY: max(longest_s, self._service.delay_s())}

    def _observe(self, name: str, value: float) -> None:
        self._observed(name, value)
        if name == DELAY:
            self._longest_s = max(self._longest_s, value)

    async def _watch(self) -> None:
        while time.monotonic() - self._checked_s < DRAIN_AFTER * HEALTH_S:
            await asyncio.sleep(HEALTH_S / 4)
            self._shed(time.monotonic())
        self._drained = True
        self._service.drain()

    def _shed(self, now_s: float) -> None:
        """Give a lease back where the queue stays too long: an emptier replica, if there is one, takes it."""
        if self._service.live_delay_s() < self._scaled.queue_delay_s:
            self._relaxed_s = now_s
        elif now_s - self._relaxed_s > SHED_AFTER_S and len(self._leases) > 1 and self._scaled.max > 1:
            self._relaxed_s = now_s
            self._leases[0].release()


class ScaleOnDelay:
    """A policy for Serve: one replica more where a queue waits over `target_s`, one fewer below a quarter."""

    def __init__(self, target_s: float) -> None:
        self._target_s = target_s

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """How many replicas are wanted. Serve holds it to the bounds and delays of `autoscaling`."""
        delays = (context.aggregated_metrics or {}).get(DELAY, {}).values()
        worst_s = max(delays, default=0.0)
        step = 1 if worst_s > self._target_s else -1 if worst_s < self._target_s / 4 else 0
        return max(1, context.current_num_replicas + step), context.policy_state


def autoscaling(replicas: Transcribers) -> AutoscalingConfig:
    """Between `replicas.min` and `replicas.max`, on queue delay."""
    return AutoscalingConfig(
        min_replicas=replicas.min,
        max_replicas=replicas.max,
        upscale_delay_s=replicas.up_s,
        downscale_delay_s=replicas.down_s,
        metrics_interval_s=1.0,
        look_back_period_s=4.0,
        policy=AutoscalingPolicy(  # type: ignore[no-untyped-call]  # Ray gives it no types
            policy_function=ScaleOnDelay, policy_kwargs={"target_s": replicas.queue_delay_s}
        ),
    )
