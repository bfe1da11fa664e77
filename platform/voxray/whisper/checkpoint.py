"""Models on disk in the Hugging Face form."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import WhisperForConditionalGeneration
from transformers.utils import logging

from voxray.errors import ModelError

TEXT_FILES = ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "generation_config.json")
"""What goes along with the weights from model to model."""


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """Load a WhisperForConditionalGeneration from a Hugging Face folder; ModelError where it is not one."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' own
    try:
        return WhisperForConditionalGeneration.from_pretrained(str(folder), dtype=dtype)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as e:
        reason = (str(e) or type(e).__name__).splitlines()[0]
        raise ModelError(f"{folder}: expected a Whisper model in Hugging Face form; {reason}") from e


def save_model(model: Any, folder: Path, source: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Write `model` to `folder` in `dtype`, with the tokenizer and preprocessor of `source`."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(dtype) for k, v in model.state_dict().items() if k != "proj_out.weight"}
    model.save_pretrained(str(folder), state_dict=state)
    for name in TEXT_FILES:
        if (source / name).is_file() and not (folder / name).is_file():
            shutil.copy(source / name, folder / name)
    return folder


def parameters(model: Any) -> int:
    """Return how many weights `model` has, shared ones counted once."""
    return sum(p.numel() for p in model.parameters())
