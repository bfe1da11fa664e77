"""Three ways to transcribe a long recording: overlapping chunks, window after window, or cut at pauses."""

import time
from collections.abc import Callable, Mapping, Sequence

from voxray.audio import WINDOW_S, Pcm, duration_s
from voxray.corpora.store import Clip
from voxray.scoring.chunks import chunk_spans, join_chunks
from voxray.scoring.faster_whisper_engine import FasterWhisperEngine
from voxray.scoring.sequential import transcribe_sequentially
from voxray.scoring.suites import Clock, Scores, scores_of
from voxray.speech import part
from voxray.text import NormaliserName, normaliser
from voxray.transcribe import cutting_for, transcribe
from voxray.transcript import shifted
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, Engine
from voxray.writing_systems import join_texts

Way = Callable[[Pcm, Engine, DecodingOptions], str]


def in_chunks(pcm: Pcm, engine: Engine, options: DecodingOptions) -> str:
    """Transcribe chunks of 30 s that overlap by 5 s, all in one batch; `options` name the language.

    They are decoded with timestamps: without, Whisper often ends its text at a pause.
    """
    spans = chunk_spans(duration_s(pcm))
    timed = options.model_copy(update={"words": True, "timestamps": True})
    results = engine.transcribe([part(pcm, span) for span in spans], timed)
    normalise = normaliser(options.language, "basic")
    chunks = [[shifted(w, span.start_s) for w in r.words] for span, r in zip(spans, results, strict=True)]
    return join_texts(word.text for word in join_chunks(chunks, spans, normalise))


def in_sequence(pcm: Pcm, engine: Engine, options: DecodingOptions) -> str:
    """Transcribe window after window, with seek by timestamps and temperature fallback."""
    assert isinstance(engine, CTranslate2Engine)  # `ways` offers it for no other
    return transcribe_sequentially(pcm, engine, options)


def at_pauses(pcm: Pcm, engine: Engine, options: DecodingOptions) -> str:
    """Transcribe as `voxray transcribe` does: cut at pauses, as suits the model's smallest window."""
    return transcribe(pcm, engine, options, cutting_for(getattr(engine, "min_window_s", WINDOW_S))).text


def in_own_way(pcm: Pcm, engine: Engine, options: DecodingOptions) -> str:
    """Transcribe with an engine that takes recordings of any length."""
    return engine.transcribe([pcm], options)[0].text


def ways(engine: Engine) -> Mapping[str, Way]:
    """Return the ways that `engine` can go."""
    if isinstance(engine, FasterWhisperEngine):
        return {"faster-whisper's own": in_own_way}
    sequential = {"sequential": in_sequence} if isinstance(engine, CTranslate2Engine) else {}
    return {"chunked": in_chunks, **sequential, "cut at pauses": at_pauses}


def score_long_form(
    way: Way,
    engine: Engine,
    recordings: Sequence[Clip],
    options: DecodingOptions,
    *,
    name: NormaliserName = "auto",
    clock: Clock = time.perf_counter,
) -> Scores:
    """Transcribe `recordings` one way and score them, all of it timed."""
    start_s = clock()
    texts = [
        way(clip.pcm, engine, options.model_copy(update={"language": options.language or clip.language}))
        for clip in recordings
    ]
    return scores_of(recordings, texts, compute_s=clock() - start_s, normaliser=name)
