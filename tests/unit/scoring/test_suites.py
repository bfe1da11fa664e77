"""An engine over clips: what is timed, what is scored."""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, Pcm, decode
from voxray.corpora.store import Clip
from voxray.scoring.suites import score_engine, stage_times, windows_of
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, DecodingResult
from voxray.whisper.tokens import Tokens


class Listener:
    """Says the text written for a clip's length; each clip takes it one second by `clock`."""

    def __init__(self, texts: dict[int, str]) -> None:
        self.tokens = Tokens.load(SMALL_MODEL)
        self.texts = texts
        self.now_s = 0.0
        self.transcribed: list[tuple[int, str | None]] = []

    def clock(self) -> float:
        return self.now_s

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        self.now_s += len(clips)
        self.transcribed += zip(map(len, clips), languages, strict=True)
        return [DecodingResult(self.texts[len(c)], "en", (), (), (), -0.1, 0.0, 1.0) for c in clips]


def clip_of(seconds: int, text: str, speaker: str = "", language: str = "en") -> Clip:
    pcm = np.zeros(seconds * SAMPLE_RATE, dtype=np.int16)
    return Clip(f"clip-{seconds}", pcm, text, speaker, language)


def test_scores_pair_each_clip_with_its_hypothesis() -> None:
    engine = Listener({3 * SAMPLE_RATE: "one", 9 * SAMPLE_RATE: "five"})
    clips = [clip_of(3, "One.", "ann"), clip_of(9, "two", "bob", "de")]
    scores = score_engine(engine, clips, DecodingOptions(), normaliser="basic", clock=engine.clock)
    assert [(s.reference, s.hypothesis, s.errors.errors) for s in scores.clips] == [
        ("One.", "one", 0),
        ("two", "five", 1),
    ]
    assert scores.summary.wer == 0.5
    assert {name: s.wer for name, s in scores.speakers.items()} == {"ann": 0.0, "bob": 1.0}


def test_each_clip_is_normalised_and_scored_by_its_own_language() -> None:
    engine = Listener({k * SAMPLE_RATE: text for k, text in enumerate(["", "twenty", "二零", "zwanzig"])})
    clips = [clip_of(1, "20"), clip_of(2, "二十", language="zh"), clip_of(3, "20", language="de")]
    for given in (clips, clips[::-1]):
        scores = score_engine(engine, given, DecodingOptions(), clock=engine.clock)
        rates = {s.language: s.errors.rate for s in scores.clips}
        assert rates == {"en": 0.0, "zh": 0.5, "de": 1.0}


def test_the_warm_up_is_not_timed_and_each_clip_goes_with_its_language() -> None:
    engine = Listener({3 * SAMPLE_RATE: "", 9 * SAMPLE_RATE: ""})
    clips = [clip_of(3, "one"), clip_of(9, "two", language="de")]
    scores = score_engine(engine, clips, DecodingOptions(), clock=engine.clock)
    assert engine.transcribed == [(48_000, "en"), (48_000, "en"), (144_000, "de")]
    assert scores.compute_s == 2.0
    assert scores.rtfx == 6.0


def test_a_clip_over_30_s_is_cut_and_its_texts_joined() -> None:
    first, second = (decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:2])
    pause = np.zeros(20 * SAMPLE_RATE, dtype=np.int16)
    long = np.concatenate([first, pause, second, pause])
    pieces = windows_of(long)
    engine = Listener({len(piece): f"piece {i}" for i, piece in enumerate(pieces)})
    clips = [Clip("long", long, "piece 0 piece 1"), Clip("short", pieces[0], "piece 0")]
    scores = score_engine(engine, clips, DecodingOptions(), normaliser="basic", clock=engine.clock)
    assert len(pieces) == 2
    assert sum(map(len, pieces)) < len(long) / 2  # the pauses are gone
    assert [s.hypothesis for s in scores.clips] == ["piece 0 piece 1", "piece 0"]


def test_a_clip_of_30_s_is_not_cut() -> None:
    clip = np.zeros(30 * SAMPLE_RATE, dtype=np.int16)
    assert windows_of(clip)[0] is clip


def test_no_clips_are_no_error() -> None:
    engine = Listener({})
    scores = score_engine(engine, [], DecodingOptions(), clock=engine.clock)
    assert (scores.summary.clips, scores.summary.wer, scores.rtfx) == (0, 0.0, 0.0)


def test_stage_times_are_medians_over_alternating_runs() -> None:
    engine = CTranslate2Engine(SMALL_MODEL_INT8, device="cpu")
    ticks = iter(range(1000))
    clip = decode(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0])
    options = DecodingOptions(language="en")
    times = stage_times([engine, engine], [clip, clip], options, runs=2, clock=lambda: float(next(ticks)))
    # Each reading of this clock is a second after the one before: three readings a clip.
    assert [t.encoder_ms for t in times] == pytest.approx([1000.0, 1000.0])
    assert [t.decoder_ms for t in times] == pytest.approx([1000.0, 1000.0])
    assert next(ticks) == 3 * 2 * 2 * 3  # readings, clips, engines, runs with the warm-up
