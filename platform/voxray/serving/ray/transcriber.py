"""The Transcriber deployment: the models of a replica, leased to buffer actors, scaled on queue delay."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from voxray.audio import WINDOW_S, Pcm
from voxray.errors import ServiceError, VoxrayError
from voxray.serving.model_sources import ModelSources
from voxray.serving.protocol import Answer, HandedOver, Heartbeat, ModelDescription
from voxray.serving.ray.actors import answered
from voxray.serving.ray.observations import Observations
from voxray.serving.ray.shutdown import ShutdownDetector
from voxray.serving.settings import ServiceArgs, Transcribers
from voxray.serving.transcriber.decoder import Decoder
from voxray.serving.transcriber.loading import EngineLoader
from voxray.serving.transcriber.models import ModelCache
from voxray.serving.transcriber.scheduler import SchedulerOptions
from voxray.serving.transcriber.service import DecodeService
from voxray.whisper.ctranslate import chosen_device
from voxray.whisper.engines import DecodingOptions, DecodingResult
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import ctranslate2_folder

SHED_CHECK_S = 0.25
STUCK_S = 60.0  # a batch that runs for so long never ends
FAILED_BATCHES = 10  # one after another: what fails is not a window, but the model or its device
BEAT_S = 1.0
SHED_AFTER_S = 5.0
DELAY = "queue_delay_s"

log = logging.getLogger(__name__)


class RemoteSource:
    """A buffer actor as a transcriber sees it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._released = False

    def release(self) -> None:
        """Give the lease back: nothing more is taken, and the actor looks for another transcriber."""
        self._released = True

    async def next_jobs(self, lease: int) -> list[HandedOver] | None:
        """As `protocol.JobSource.next_jobs`."""
        if self._released:
            return None
        jobs: list[HandedOver] | None = await answered(self._actor.next_jobs.remote(lease))
        return jobs

    async def deliver(self, lease: int, answers: list[Answer]) -> None:
        """As `protocol.JobSource.deliver`."""
        await answered(self._actor.deliver.remote(lease, answers))


class Transcriber:
    """A replica. Its leases end when Serve stops it."""

    def __init__(self, args: ServiceArgs) -> None:
        decoding = args.decoding
        self._name = args.model
        folder = ctranslate2_folder(args.model)
        streams = ModelInfo.load(folder).min_window_s < WINDOW_S
        threads, workers = decoding.threads_and_workers(
            args.transcriber.cpus, short_windows_on_cpu=streams and chosen_device(decoding.device) == "cpu"
        )
        how = (decoding.device, decoding.compute_type, threads, workers)
        self._loader = EngineLoader(ModelSources(args), *how)
        began_s = time.monotonic()
        engine = self._loader.engine(folder)
        self._observed = Observations()
        self._observed("model_load_s", time.monotonic() - began_s)
        if not streams:
            log.warning(
                "%s decodes windows of %g s, however short the speech. `python jobs/adapt.py model=%s "
                "corpus=FOLDER out=FOLDER` makes a model of it that streams at about a tenth of the cost.",
                args.model,
                WINDOW_S,
                args.model,
            )
        options = SchedulerOptions(
            max_batch=decoding.max_batch,
            max_partials=decoding.max_partials or (4 if engine.model.device == "cpu" else decoding.max_batch),
            fill_s=decoding.fill_ms / 1000,
        )
        self._longest_s = 0.0  # that a window has waited since Serve last asked
        bounds = args.transcriber
        models = ModelCache(
            self._loader, self._observe, count=bounds.loaded_models, bytes=bounds.loaded_bytes
        )
        self._service = DecodeService(Decoder(engine), options, self._observe, models=models, workers=workers)
        self._leases: list[RemoteSource] = []
        self._scaled = args.transcriber
        self._relaxed_s = time.monotonic()
        self._shutdown = ShutdownDetector()
        self._drained = False
        self._tasks: list[asyncio.Task[None]] = []

    async def attach(self, host: Any, lease: int) -> AsyncIterator[Heartbeat]:
        """Work for a buffer actor under its `lease` as long as this goes on; a beat each second."""
        source = RemoteSource(host)
        work = asyncio.create_task(self._service.serve(source, lease))
        self._leases.append(source)
        try:
            while not work.done():
                loaded = self._service.descriptions
                yield Heartbeat(self._name, {name: model.languages for name, model in loaded.items()})
                await asyncio.wait([work], timeout=BEAT_S)
            await work
        finally:
            self._leases.remove(source)
            work.cancel()

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, model: str | None
    ) -> list[DecodingResult]:
        """Windows of a file, between the live ones."""
        return await self._service.transcribe([np.asarray(c) for c in clips], options, model)

    async def describe(self, model: str | None) -> ModelDescription:
        """What a model is made for. ServiceError where it is not to be had."""
        try:
            described = await self._described(model, fetch=True)
        except (VoxrayError, OSError) as e:
            raise ServiceError(f"model {model!r}: expected one that can be loaded, got an error: {e}") from e
        assert described
        return described

    async def describe_known(self, models: Sequence[str | None]) -> list[ModelDescription | None]:
        """What each of `models` is made for; None where it is not known yet, or cannot be read."""
        found = [self._described(model, fetch=False) for model in models]
        described = await asyncio.gather(*found, return_exceptions=True)
        return [None if isinstance(d, BaseException) else d for d in described]

    async def _described(self, model: str | None, *, fetch: bool) -> ModelDescription | None:
        if model is None or model in self._service.descriptions:
            return self._service.descriptions[model]
        return await asyncio.to_thread(self._loader.describe, model, fetch=fetch)

    async def totals(self) -> dict[str, float]:
        """What was observed so far; see `Observations`."""
        return self._observed.totals()

    async def check_health(self) -> None:
        """Called by Serve as long as this replica is to stay. Where it raises, Serve replaces the replica."""
        if self._drained:
            raise RuntimeError("expected to be stopped, got a health check; this replica has drained.")
        if (stuck_s := self._service.stuck_s()) > STUCK_S:
            raise RuntimeError(
                f"expected a batch to end within {STUCK_S:g} s, got one that runs for {stuck_s:.0f} s."
            )
        if (failed := self._service.failed_batches) >= FAILED_BATCHES:
            raise RuntimeError(f"expected batches to be decoded, got {failed} failures one after another.")
        self._shutdown.health_checked()
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._drain_at_shutdown()),
                asyncio.create_task(self._balance()),
            ]

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `ScaleOnDelay` goes by."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return {DELAY: max(longest_s, self._service.delay_s())}

    def _observe(self, name: str, value: float) -> None:
        self._observed(name, value)
        if name == DELAY:
            self._longest_s = max(self._longest_s, value)

    async def _drain_at_shutdown(self) -> None:
        await self._shutdown.wait()
        self._drained = True
        self._service.drain()

    async def _balance(self) -> None:
        while not self._drained:
            await asyncio.sleep(SHED_CHECK_S)
            self._shed(time.monotonic())

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
