"""The engine that serves, on the small model in int8 and its clips."""

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, Pcm, decode
from voxray.errors import AudioError, ModelError
from voxray.text import normaliser
from voxray.whisper.ctranslate import (
    CTranslate2Engine,
    window_s,
)
from voxray.whisper.engines import DecodingOptions

ENGLISH = DecodingOptions(language="en")


@pytest.fixture(scope="module")
def engine() -> CTranslate2Engine:
    return CTranslate2Engine(SMALL_MODEL_INT8, device="cpu")


@pytest.fixture(scope="module")
def clips() -> list[Pcm]:
    return [decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:24:2]]


@pytest.mark.parametrize(
    ("seconds", "smallest_s", "window"),
    [(0.5, 2, 2), (2.0, 2, 2), (2.01, 2, 3), (1, 10, 10), (29, 2, 30), (31, 2, 30)],
)
def test_the_window_is_the_smallest_that_holds_the_clip_and_that_the_model_takes(
    seconds: float, smallest_s: float, window: float
) -> None:
    assert window_s(seconds, smallest_s) == window


def test_a_batch_gives_each_clip_what_it_gives_alone_in_their_order(
    engine: CTranslate2Engine, clips: list[Pcm]
) -> None:
    alone = [engine.transcribe([clip], ENGLISH)[0].tokens for clip in clips]
    together = engine.transcribe(clips, DecodingOptions(language="en", batch_s=12))
    assert len({len(c) for c in clips}) > 1
    assert len(set(alone)) > len(clips) // 2  # else order could not be seen
    assert [h.tokens for h in together] == alone


def test_a_clip_over_30_s_is_refused(engine: CTranslate2Engine) -> None:
    with pytest.raises(AudioError, match=r"clip 0: expected at most 30 s, got 30\.01 s"):
        engine.transcribe([_silence(30.01)], ENGLISH)


def test_a_clip_of_exactly_30_s_is_taken(engine: CTranslate2Engine) -> None:
    [result] = engine.transcribe([_silence(30)], ENGLISH)
    assert result.text == ""


def test_silence_gives_no_words(engine: CTranslate2Engine) -> None:
    options = DecodingOptions(language="en", words=True)
    for result in engine.transcribe([_silence(1), _silence(5)], options):
        assert (result.text, result.words, result.segments) == ("", (), ())


def test_the_language_is_detected_where_neither_options_nor_clip_name_it(
    engine: CTranslate2Engine, clips: list[Pcm]
) -> None:
    found = engine.transcribe(clips[:2], DecodingOptions(), [None, "de"])
    assert [h.language for h in found] == ["en", "de"]


def test_the_options_language_goes_before_the_clips_own(engine: CTranslate2Engine, clips: list[Pcm]) -> None:
    assert engine.transcribe(clips[:1], ENGLISH, ["de"])[0].language == "en"


def test_words_come_in_order_inside_the_clip_and_spell_the_text(
    engine: CTranslate2Engine, clips: list[Pcm]
) -> None:
    options = DecodingOptions(language="en", words=True)
    for clip, result in zip(clips, engine.transcribe(clips, options), strict=True):
        times = [t for w in result.words for t in (w.start_s, w.end_s)]
        assert [w.text for w in result.words] == result.text.split()
        assert times == sorted(times)
        assert times[-1] <= len(clip) / SAMPLE_RATE + 0.02


def test_timestamps_cut_the_text_into_segments(engine: CTranslate2Engine, clips: list[Pcm]) -> None:
    normalise = normaliser("en", "basic")
    for result in engine.transcribe(clips[:3], DecodingOptions(language="en", timestamps=True)):
        assert result.segments
        assert normalise(" ".join(s.text for s in result.segments)) == normalise(result.text)
        assert all(s.start_s <= s.end_s for s in result.segments)


def test_a_folder_without_a_model_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ModelError, match=r"expected a CTranslate2 model, got a folder without model\.bin"):
        CTranslate2Engine(tmp_path_factory.mktemp("empty"))


def _silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * SAMPLE_RATE), dtype=np.int16)
