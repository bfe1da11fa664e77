"""The engine that serves, on the small model in int8 and its clips."""

from types import SimpleNamespace

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, Pcm, decode
from voxray.errors import AudioError, ModelError
from voxray.text import normaliser
from voxray.whisper.ctranslate import (
    WINDOWS_S,
    CTranslate2Engine,
    min_window_s,
    most_tokens,
    window_s,
    word_times,
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
    [(0.5, 2, 2), (2.0, 2, 2), (2.01, 2, 4), (1, 10, 10), (29, 2, 30), (31, 2, 30)],
)
def test_the_window_is_the_smallest_that_holds_the_clip_and_that_the_model_takes(
    seconds: float, smallest_s: float, window: float
) -> None:
    assert window_s(seconds, smallest_s) == window


def test_a_folder_that_says_nothing_takes_30_s(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert min_window_s(tmp_path_factory.mktemp("bare")) == WINDOWS_S[-1]
    assert min_window_s(SMALL_MODEL_INT8) == WINDOWS_S[0]


def test_a_batch_gives_each_clip_what_it_gives_alone_in_their_order(
    engine: CTranslate2Engine, clips: list[Pcm]
) -> None:
    alone = [engine.transcribe([clip], ENGLISH)[0].tokens for clip in clips]
    together = engine.transcribe(clips, DecodingOptions(language="en", batch_s=12))
    assert len({len(c) for c in clips}) > 1
    assert len(set(alone)) > len(clips) // 2  # else order could not be seen
    assert [h.tokens for h in together] == alone


def test_a_clip_over_30_s_is_refused(engine: CTranslate2Engine) -> None:
    with pytest.raises(AudioError, match=r"clip 0: expected at most 30 s, and it lasts 30\.01 s"):
        engine.transcribe([_silence(30.01)], ENGLISH)


def test_a_clip_of_exactly_30_s_is_taken(engine: CTranslate2Engine) -> None:
    [heard] = engine.transcribe([_silence(30)], ENGLISH)
    assert heard.text == ""


def test_silence_gives_no_words(engine: CTranslate2Engine) -> None:
    options = DecodingOptions(language="en", words=True)
    for heard in engine.transcribe([_silence(1), _silence(5)], options):
        assert (heard.text, heard.words, heard.segments) == ("", (), ())


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
    for clip, heard in zip(clips, engine.transcribe(clips, options), strict=True):
        times = [t for w in heard.words for t in (w.start_s, w.end_s)]
        assert [w.text for w in heard.words] == heard.text.split()
        assert times == sorted(times)
        assert times[-1] <= len(clip) / SAMPLE_RATE + 0.02


def test_timestamps_cut_the_text_into_segments(engine: CTranslate2Engine, clips: list[Pcm]) -> None:
    normalise = normaliser("en", "basic")
    for heard in engine.transcribe(clips[:3], DecodingOptions(language="en", timestamps=True)):
        assert heard.segments
        assert normalise(" ".join(s.text for s in heard.segments)) == normalise(heard.text)
        assert all(s.start_s <= s.end_s for s in heard.segments)


def test_a_word_starts_at_its_first_token_and_ends_where_the_next_starts(engine: CTranslate2Engine) -> None:
    ids = engine.tokens.encode(" one two")
    groups = engine.tokens.word_groups(ids)
    steps = [(k, 10 * k + f) for k in range(len(ids) + 1) for f in range(10)]
    found = word_times(
        engine.tokens, ids, SimpleNamespace(alignments=steps, text_token_probs=[0.5] * len(ids))
    )
    second_s = 10 * len(groups[0]) / 50
    assert [(w.text, w.start_s, w.end_s) for w in found] == [
        ("one", 0.0, second_s),
        ("two", second_s, 10 * len(ids) / 50),
    ]
    assert {w.probability for w in found} == {0.5}


def test_a_folder_without_a_model_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ModelError, match=r"expected a CTranslate2 model \(model\.bin\)"):
        CTranslate2Engine(tmp_path_factory.mktemp("empty"))


def _silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * SAMPLE_RATE), dtype=np.int16)


def test_what_loops_is_decoded_again(engine: CTranslate2Engine) -> None:
    """A tenth of a second of speech over and over: the decoder says a word for ever, if it is let."""
    clips = [decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:50]]
    stuck = [np.tile(c[len(c) // 2 : len(c) // 2 + 1600], 30) for c in clips]
    prompts = [engine.tokens.prompt("en")] * len(stuck)
    endless = engine.model.generate(engine.encode(stuck, 4.0), prompts, beam_size=1, max_length=448)
    assert any(len(r.sequences_ids[0]) > most_tokens(3.0) for r in endless)  # or nothing is tested

    heard = engine.transcribe(stuck, ENGLISH)

    assert all(len(h.tokens) <= most_tokens(3.0) for h in heard)
