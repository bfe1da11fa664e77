"""Transcribes and scores a set of clips with an engine, and times it."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES, Pcm
from voxray.corpora.store import Clip
from voxray.scoring.metrics import ClipScore, Summary, by_speaker, score_clip, summarise
from voxray.speech import MAX_PAUSE_S, cut_at_pauses
from voxray.text import NormaliserName
from voxray.whisper.ctranslate import CTranslate2Engine, window_s
from voxray.whisper.engines import DecodingOptions, Engine
from voxray.writing_systems import join_texts

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one engine on one set of clips."""

    clips: tuple[ClipScore, ...]
    summary: Summary
    speakers: dict[str, Summary]
    compute_s: float

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of computing."""
        return self.summary.audio_s / self.compute_s if self.compute_s else 0.0


def score_engine(
    engine: Engine,
    clips: Sequence[Clip],
    options: DecodingOptions,
    *,
    normaliser: NormaliserName = "auto",
    max_pause_s: float | None = MAX_PAUSE_S,
    clock: Clock = time.perf_counter,
) -> Scores:
    """Transcribe `clips` and score them against their texts, each by its own language.

    Clips over 30 s are cut at pauses, those longer than `max_pause_s` always, and their texts joined. Neither
    that nor the warm-up is timed.
    """
    pieces = [windows_of(clip.pcm, max_pause_s) for clip in clips]
    flat = [piece for parts in pieces for piece in parts]
    languages = [clip.language for clip, parts in zip(clips, pieces, strict=True) for _ in parts]
    if flat:
        engine.transcribe(flat[:1], options, languages[:1])
    start_s = clock()
    results = iter(engine.transcribe(flat, options, languages))
    compute_s = clock() - start_s
    texts = [
        join_texts(r.text for r in islice(results, len(parts)))
        for clip, parts in zip(clips, pieces, strict=True)
    ]
    return scores_of(clips, texts, compute_s=compute_s, normaliser=normaliser)


def windows_of(pcm: Pcm, max_pause_s: float | None = MAX_PAUSE_S) -> list[Pcm]:
    """Return `pcm` itself where it fits an engine, else what lies between its pauses."""
    if len(pcm) <= WINDOW_SAMPLES:
        return [pcm]
    spans = cut_at_pauses(pcm, max_pause_s=max_pause_s)
    return [pcm[round(s.start_s * SAMPLE_RATE) :][: round(s.length_s * SAMPLE_RATE)] for s in spans]


def scores_of(
    clips: Sequence[Clip],
    texts: Sequence[str],
    *,
    compute_s: float,
    normaliser: NormaliserName = "auto",
) -> Scores:
    """Score the hypotheses `texts`, one per clip."""
    scored = tuple(
        score_clip(c.id, c.text, text, c.duration_s, c.text_language, normaliser, c.speaker)
        for c, text in zip(clips, texts, strict=True)
    )
    return Scores(scored, summarise(scored), by_speaker(scored), compute_s)


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Median milliseconds per clip in the encoder and in the decoder."""

    encoder_ms: float
    decoder_ms: float


def stage_times(
    engines: Sequence[CTranslate2Engine],
    clips: Sequence[Pcm],
    options: DecodingOptions,
    *,
    runs: int = 5,
    clock: Clock = time.perf_counter,
) -> list[StageTimes]:
    """Time each engine, one clip at a time; the engines take turns, so that other load slows all of them.

    The first run of each warms up and is not counted. The median is over runs of the mean over clips.
    """
    taken: list[list[StageTimes]] = [[] for _ in engines]
    for _ in range(runs + 1):
        for engine, times in zip(engines, taken, strict=True):
            times.append(_one_run(engine, clips, options, clock))
    return [_median(times[1:]) for times in taken]


def _one_run(
    engine: CTranslate2Engine, clips: Sequence[Pcm], options: DecodingOptions, clock: Clock
) -> StageTimes:
    encoder_s = decoder_s = 0.0
    for clip in clips:
        window = window_s(len(clip) / SAMPLE_RATE, engine.min_window_s)
        start_s = clock()
        encoded = engine.encode([clip], window)
        middle_s = clock()
        engine.decode(encoded, [clip], options, [options.language])
        encoder_s, decoder_s = encoder_s + middle_s - start_s, decoder_s + clock() - middle_s
    each_ms = 1000 / max(1, len(clips))
    return StageTimes(encoder_s * each_ms, decoder_s * each_ms)


def _median(times: Sequence[StageTimes]) -> StageTimes:
    encoder_ms = statistics.median(t.encoder_ms for t in times)
    return StageTimes(encoder_ms, statistics.median(t.decoder_ms for t in times))
