"""A Whisper of random weights whose steps take milliseconds, and clips of tones in place of words."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.small_model import SMALL_MODEL
from tests.small_model.random_model import random_model

from voxray.audio import SAMPLE_RATE, to_pcm
from voxray.corpora.store import Clip
from voxray.training.loop import Loop
from voxray.training.loop_options import LoopOptions
from voxray.training.objective import Objective, ObjectiveOptions
from voxray.transcript import Word
from voxray.whisper.checkpoint import TEXT_FILES, load_model
from voxray.whisper.tokens import Tokens

SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "dropout": 0.0,
    "init_std": 0.1,
}
CE = ObjectiveOptions(ce_weight=1.0, kl_weight=0.0, freeze_encoder=False)
PITCHES_HZ = {"red": 300, "blue": 700, "green": 1500}

Loops = Callable[..., Loop]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Nothing here gains by more, and sums in another order are other sums."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder: random weights of `SIZES`, the small model's vocabulary."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    random_model(**SIZES).save_pretrained(folder)
    for name in TEXT_FILES:
        shutil.copy(SMALL_MODEL / name, folder)
    return folder


@pytest.fixture(scope="session")
def tokens(tiny: Path) -> Tokens:
    return Tokens.load(tiny)


def spoken(uid: str, text: str, speaker: str = "anna") -> Clip:
    """`text` as tones of 0.25 s, one pitch for each word, each after a pause of 0.1 s."""
    pause, time_s = np.zeros(SAMPLE_RATE // 10), np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE
    tones = [0.5 * np.sin(2 * np.pi * PITCHES_HZ[word] * time_s) for word in text.split()]
    pieces = [p for tone in tones for p in (pause, tone)]
    words = tuple(Word(w, 0.35 * i + 0.1, 0.35 * (i + 1)) for i, w in enumerate(text.split()))
    return Clip(uid, to_pcm(np.concatenate([*pieces, pause])), text, speaker, "en", words)


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """Six clips of 0.45 to 1.5 s."""
    texts = ["red", "blue", "green", "red blue", "green red blue", "blue green red green"]
    return [spoken(f"clip-{i}", text) for i, text in enumerate(texts)]


@pytest.fixture(scope="session")
def loops(tiny: Path, tokens: Tokens) -> Loops:
    """Makes loops on clips, each from the same weights; `dropout` and `layerdrop` are the student's."""

    def make(
        clips: Sequence[Clip],
        options: LoopOptions,
        teacher: Any = None,
        *,
        objective: ObjectiveOptions = CE,
        dropout: float = 0.0,
        layerdrop: float = 0.0,
    ) -> Loop:
        torch.manual_seed(options.plan.seed)
        student = load_model(tiny)
        for layer in student.modules():
            if hasattr(layer, "dropout") and isinstance(layer.dropout, float):
                layer.dropout = dropout
        student.model.decoder.layerdrop = layerdrop
        module = Objective(student, objective, teacher, blank=tokens.end, teacher_short=True)
        return Loop(module, clips, [c.duration_s for c in clips], tokens, options)

    return make
