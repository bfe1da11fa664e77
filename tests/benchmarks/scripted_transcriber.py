"""The service with a transcriber that makes up words at once: everything but the model is as it is."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.serving.protocol import Heartbeat, Job, ModelDescription
from voxray.serving.ray.app import GatewayDeployment
from voxray.serving.ray.names import TRANSCRIBER
from voxray.serving.ray.observations import Observations
from voxray.serving.ray.transcriber import BEAT_S, RemoteSource
from voxray.serving.settings import ServiceArgs
from voxray.serving.transcriber.scheduler import Group, SchedulerOptions
from voxray.serving.transcriber.service import DecodeService
from voxray.streaming.events import Hypothesis, HypothesisWord
from voxray.whisper.engines import DecodingOptions, DecodingResult

WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november".split()
WORD_S = 0.4
LEASES = 1_000
MODEL = ModelDescription(min_window_s=2.0, languages=("en",))


class ScriptedDecoder:
    """A `BatchDecoder`: a word each `WORD_S`, in the order of `WORDS`, after those that are forced."""

    @property
    def description(self) -> ModelDescription:
        """What it is made for."""
        return MODEL

    def group(self, job: Job) -> Group:
        """All jobs may share a batch."""
        return Group(previous_tokens=0, task_tokens=1, window_s=MODEL.min_window_s)

    def decode(self, jobs: Sequence[Job]) -> list[Hypothesis | None]:
        """Return a hypothesis per job, at once."""
        return list(map(scripted_hypothesis, jobs))

    def file_batches(self, clips: Sequence[Pcm]) -> Iterator[list[int]]:
        """There are no files here."""
        return iter(())

    def transcribe(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[DecodingResult]:
        """There are no files here."""
        return []

    def close(self) -> None:
        """There is nothing to free."""


def scripted_hypothesis(job: Job) -> Hypothesis:
    """Return the words of a window: each hypothesis extends the one before it."""
    forced = job.prefix.split()
    next_word = WORDS.index(forced[-1]) + 1 if forced else 0
    count = max(len(forced), int(len(job.pcm) / 2 / SAMPLE_RATE / WORD_S))
    texts = [*forced, *(WORDS[(next_word + i) % len(WORDS)] for i in range(count - len(forced)))]
    words = (HypothesisWord(f" {t}", i * WORD_S, (i + 1) * WORD_S, 1.0) for i, t in enumerate(texts))
    return Hypothesis(
        tuple(words) if job.word_times else tuple(HypothesisWord(f" {t}") for t in texts),
        avg_logprob=-0.1,
        no_speech_prob=0.0,
        compression_ratio=1.0,
    )


class ScriptedTranscriber:
    """In the place of `serving.ray.transcriber.Transcriber`, with its scheduler and its leases."""

    def __init__(self, args: ServiceArgs) -> None:
        self._observed = Observations()
        options = SchedulerOptions(max_batch=64, max_partials=64, fill_s=args.decoding.fill_ms / 1000)
        self._service = DecodeService(ScriptedDecoder(), options, self._observed)

    async def attach(self, host: Any, lease: int) -> AsyncIterator[Heartbeat]:
        """As `Transcriber.attach`."""
        work = asyncio.create_task(self._service.serve(RemoteSource(host), lease))
        try:
            while not work.done():
                yield Heartbeat("scripted", {None: MODEL.languages})
                await asyncio.wait([work], timeout=BEAT_S)
            await work
        finally:
            work.cancel()

    async def describe(self, model: str | None) -> ModelDescription:
        """As `Transcriber.describe`."""
        return MODEL

    async def totals(self) -> dict[str, float]:
        """As `Transcriber.totals`."""
        return self._observed.totals()


def build(args: ServiceArgs) -> serve.Application:
    """As `serving.ray.app.build`, with a transcriber that makes up words, and `args.gateway.min` gateways."""
    transcriber = serve.deployment(name=TRANSCRIBER, max_ongoing_requests=LEASES)(ScriptedTranscriber)
    gateway = serve.deployment(
        name="Gateway",
        max_ongoing_requests=args.connections_per_gateway,
        autoscaling_config=AutoscalingConfig(
            min_replicas=args.gateway.min,
            max_replicas=args.gateway.min,
            target_ongoing_requests=args.connections_per_gateway / 2,
        ),
        ray_actor_options={"num_cpus": args.gateway.cpus},
        health_check_period_s=1.0,
    )(serve.ingress()(GatewayDeployment))
    application: serve.Application = gateway.bind(args, transcriber.bind(args))
    return application
