"""Decoding on a CUDA device beside decoding on a CPU, on real Whisper."""

import pytest
from tests.gpu.tiny import NEEDS_TINY

from voxray.audio import WINDOW_S
from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip
from voxray.text import ErrorCounts, word_errors
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, Engine
from voxray.whisper.models import ctranslate2_folder, hf_folder
from voxray.whisper.transformers_engine import TransformersEngine

pytestmark = [pytest.mark.gpu, NEEDS_TINY]


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return load_clips("builtin", "test")[0]


def texts(engine: Engine, clips: list[Clip]) -> list[str]:
    return [r.text for r in engine.transcribe([c.pcm for c in clips], DecodingOptions(language="en"))]


def wer(expected: list[str], got: list[str]) -> float:
    counts = sum((word_errors(e, g) for e, g in zip(expected, got, strict=True)), ErrorCounts())
    return counts.rate


@pytest.mark.parametrize("model", ["tiny.en", "tiny.en@stock"])
def test_float16_on_a_gpu_has_the_texts_of_float32_on_a_cpu(clips: list[Clip], model: str) -> None:
    folder = ctranslate2_folder(model, "float16")
    cpu = texts(CTranslate2Engine(folder, device="cpu", compute_type="float32"), clips)
    gpu = texts(CTranslate2Engine(folder, device="cuda"), clips)

    assert wer(cpu, gpu) <= 0.01
    assert wer([c.text for c in clips], gpu) <= 0.08


def test_words_on_a_gpu_have_times_in_order(clips: list[Clip]) -> None:
    engine = CTranslate2Engine(ctranslate2_folder("tiny.en", "float16"), device="cuda")
    results = engine.transcribe([c.pcm for c in clips], DecodingOptions(language="en", words=True))

    for clip, result in zip(clips, results, strict=True):
        times = [t for word in result.words for t in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= clip.duration_s


def test_packed_clips_have_the_texts_of_clips_one_by_one(clips: list[Clip]) -> None:
    engine = CTranslate2Engine(ctranslate2_folder("tiny.en@stock", "float16"), device="cuda")
    assert engine.min_window_s == WINDOW_S
    options = DecodingOptions(language="en", pack=True)
    packed = [r.text for r in engine.transcribe([c.pcm for c in clips], options)]

    assert wer([c.text for c in clips], packed) <= wer([c.text for c in clips], texts(engine, clips)) + 0.01


def test_transformers_on_a_gpu_has_the_texts_of_ctranslate2(clips: list[Clip]) -> None:
    reference = CTranslate2Engine(ctranslate2_folder("tiny.en@stock", "float16"), device="cuda")
    engine = TransformersEngine(hf_folder("tiny.en@stock"), device="cuda")

    assert wer(texts(reference, clips[:10]), texts(engine, clips[:10])) <= 0.02
