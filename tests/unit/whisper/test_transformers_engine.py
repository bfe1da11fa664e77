"""The reference engine and CTranslate2 agree on the small model's float32 weights."""

from pathlib import Path

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS

from voxray.audio import SAMPLE_RATE, Pcm, decode
from voxray.errors import AudioError, ModelError
from voxray.whisper.ctranslate import CTranslate2Engine, batches
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import convert
from voxray.whisper.transformers_engine import TransformersEngine, default_heads, usable_heads

ENGLISH = DecodingOptions(language="en")


@pytest.fixture(scope="module")
def clips() -> list[Pcm]:
    return [decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:60:10]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> CTranslate2Engine:
    folder = convert(SMALL_MODEL, tmp_path_factory.mktemp("float32") / "model", "float32")
    engine = CTranslate2Engine(folder, compute_type="float32")
    engine.min_window_s = 4.0
    return engine


@pytest.fixture(scope="module")
def reference() -> TransformersEngine:
    return TransformersEngine(SMALL_MODEL, device="cpu", min_window_s=4.0)


@pytest.mark.parametrize(
    "options",
    [
        ENGLISH,
        DecodingOptions(language="en", timestamps=True),
        DecodingOptions(language="en", beams=3),
        DecodingOptions(),
    ],
    ids=["greedy", "timestamps", "beams", "language detected"],
)
def test_agrees_with_ctranslate2_token_for_token(
    clips: list[Pcm], served: CTranslate2Engine, reference: TransformersEngine, options: DecodingOptions
) -> None:
    ours, theirs = reference.transcribe(clips, options), served.transcribe(clips, options)
    assert [h.tokens for h in ours] == [h.tokens for h in theirs]
    assert [h.language for h in ours] == [h.language for h in theirs]
    assert [h.segments for h in ours] == [h.segments for h in theirs]
    assert all(h.text for h in ours)


def test_agrees_with_ctranslate2_in_the_padded_30_s_window(
    clips: list[Pcm], served: CTranslate2Engine, reference: TransformersEngine
) -> None:
    served.min_window_s = reference.min_window_s = 30.0
    try:
        ours, theirs = reference.transcribe(clips[:2], ENGLISH), served.transcribe(clips[:2], ENGLISH)
    finally:
        served.min_window_s = reference.min_window_s = 4.0
    assert [h.tokens for h in ours] == [h.tokens for h in theirs]


def test_confidences_agree_with_ctranslate2(
    clips: list[Pcm], served: CTranslate2Engine, reference: TransformersEngine
) -> None:
    for a, b in zip(reference.transcribe(clips, ENGLISH), served.transcribe(clips, ENGLISH), strict=True):
        assert a.avg_logprob == pytest.approx(b.avg_logprob, abs=1e-2)
        assert a.no_speech_prob == pytest.approx(b.no_speech_prob, abs=1e-3)


def test_silence_has_no_words_and_a_finite_confidence(reference: TransformersEngine) -> None:
    [silence] = reference.transcribe([np.zeros(3 * SAMPLE_RATE, dtype=np.int16)], ENGLISH)
    assert (silence.text, silence.tokens, silence.segments) == ("", (), ())
    assert -20 < silence.avg_logprob <= 0


def test_word_times_are_in_order_and_inside_the_clip(clips: list[Pcm], reference: TransformersEngine) -> None:
    [result] = reference.transcribe(clips[:1], DecodingOptions(language="en", words=True))
    times = [t for w in result.words for t in (w.start_s, w.end_s)]
    assert [w.text for w in result.words] == result.text.split()
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= len(clips[0]) / SAMPLE_RATE + 0.02


def test_stops_at_max_new_tokens(clips: list[Pcm], reference: TransformersEngine) -> None:
    [result] = reference.transcribe(clips[:1], DecodingOptions(language="en", max_new_tokens=2))
    assert len(result.tokens) == 2


def test_clips_over_30_s_are_refused() -> None:
    with pytest.raises(AudioError, match=r"clip 1: expected at most 30 s, got 31\.00 s"):
        list(batches([_silence(1), _silence(31)], 120, 2))


def test_batches_hold_one_window_and_no_more_than_their_seconds() -> None:
    clips = [_silence(s) for s in (3, 1, 30, 3, 3)]
    assert list(batches(clips, batch_s=8, smallest_s=2)) == [([1], 2), ([0, 3], 3), ([4], 3), ([2], 30)]


def test_default_heads_are_those_of_the_last_half_of_the_layers() -> None:
    assert default_heads(layers=4, heads=2) == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert default_heads(layers=1, heads=2) == [[0, 0], [0, 1]]


def test_heads_of_layers_that_are_gone_are_dropped_and_the_default_stands_in_for_all() -> None:
    assert usable_heads([[3, 1], [1, 0], [1, 9]], layers=2, heads=4) == [[1, 0]]
    assert usable_heads([[3, 1]], layers=2, heads=2) == [[1, 0], [1, 1]]


def test_a_folder_that_is_no_whisper_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((SMALL_MODEL / "tokenizer.json").read_bytes())
    with pytest.raises(ModelError, match="expected a Whisper model in Hugging Face form"):
        TransformersEngine(tmp_path)


def _silence(seconds: float) -> Pcm:
    return np.zeros(int(seconds * SAMPLE_RATE), dtype=np.int16)
