"""Window after window: where the next one begins, and that all of a recording is decoded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, decode, duration_s
from voxray.guards import Guards
from voxray.long_form.sequential import split_at_seek, transcribe_sequentially
from voxray.text import word_errors
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.tokens import Tokens

TOKENS = Tokens.load(SMALL_MODEL)
ENGLISH = DecodingOptions(language="en")


def ids(*parts: float | str) -> list[int]:
    """Timestamps from numbers, text from words."""
    return [
        token
        for part in parts
        for token in ([TOKENS.timestamp(part)] if isinstance(part, float) else TOKENS.encode(part))
    ]


def test_what_follows_the_last_whole_segment_is_decoded_again() -> None:
    window = ids(0.0, " one", 2.0, 2.0, " two", 5.0, 5.5, " thr")
    assert split_at_seek(TOKENS, window, 30.0) == (tuple(ids(0.0, " one", 2.0, 2.0, " two", 5.0)), 5.0)


def test_one_timestamp_at_the_end_says_that_the_window_is_done() -> None:
    window = ids(0.0, " one", 2.0, 2.0, " two", 5.0)
    assert split_at_seek(TOKENS, window, 12.0) == (tuple(window), 12.0)


def test_a_window_without_pairs_of_timestamps_is_done() -> None:
    assert split_at_seek(TOKENS, ids(" one"), 30.0) == (tuple(ids(" one")), 30.0)
    assert split_at_seek(TOKENS, (), 30.0) == ((), 30.0)


@given(st.lists(st.one_of(st.floats(0.0, 30.0), st.sampled_from([" one", " two"])), max_size=12))
def test_a_beginning_is_kept_and_the_next_window_begins_in_this_one(parts: list[float | str]) -> None:
    window = ids(*parts)
    kept, seek_s = split_at_seek(TOKENS, window, 20.0)
    assert list(kept) == window[: len(kept)]
    assert 0.0 <= seek_s <= 20.0


@pytest.fixture(scope="module")
def engine() -> CTranslate2Engine:
    return CTranslate2Engine(SMALL_MODEL_INT8, device="cpu")


def test_all_of_a_recording_is_decoded_with_times_in_order(engine: CTranslate2Engine) -> None:
    files = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:10]
    pause = np.zeros(SAMPLE_RATE, np.int16)
    pcm = np.concatenate([part for file in files for part in (decode(file), pause)])
    said = " ".join(file.with_suffix(".txt").read_text() for file in files)
    assert len(pcm) > 30 * SAMPLE_RATE
    found = transcribe_sequentially(pcm, engine, ENGLISH.model_copy(update={"words": True}))

    assert word_errors(said, found.text).deletions < word_errors(said, "").deletions
    assert (found.language, found.duration_s) == ("en", round(duration_s(pcm), 3))
    assert " ".join(w.text for s in found.segments for w in s.words) == found.text
    times = [t for s in found.segments for w in s.words for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert 30.0 < times[-1] <= found.duration_s


def test_windows_that_are_taken_for_silence_are_passed_over(engine: CTranslate2Engine) -> None:
    guards = Guards(min_speech_logprob=1.0)  # takes every text for silence
    clip = decode(min(SMALL_MODEL_CLIPS.glob("*.ogg")))

    assert transcribe_sequentially(clip, engine, ENGLISH, guards).segments == ()
