"""The models in a folder: where each is, its form, its size, and what its voxray.json says of it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voxray.errors import ModelError
from voxray.whisper.digest import weight_files
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.openai_names import MODEL_FILE

ModelForm = Literal["ctranslate2", "ggml", "transformers", "openai", "adapter"]


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on disk; `bytes` counts every file of its folder."""

    path: Path
    form: ModelForm
    bytes: int
    info: ModelInfo


def find_models(folder: Path) -> Iterator[StoredModel | ModelError]:
    """Yield the models in `folder` and below, by path; for one with a malformed voxray.json, its error.

    Hidden folders and unfinished ones (`NAME.PID.part`) are left out.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: expected a folder with models, got none.")
    for place, folders, _ in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not n.endswith(".part"))
        if form := model_form(Path(place)):
            yield _stored(Path(place), form)


def _stored(folder: Path, form: ModelForm) -> StoredModel | ModelError:
    try:
        info = ModelInfo.load(folder)
    except ModelError as e:
        return e
    return StoredModel(folder, form, sum(f.stat().st_size for f in folder.iterdir() if f.is_file()), info)


def model_form(folder: Path) -> ModelForm | None:
    """Return the form of the model in `folder`; None where there is none."""
    if (folder / "adapter_config.json").is_file():
        return "adapter"
    if ggml_files(folder):
        return "ggml"
    if (folder / MODEL_FILE).is_file():
        return "openai"
    if not (folder / "config.json").is_file():
        return None
    weights = weight_files(file.name for file in folder.iterdir())
    if not weights:
        return None
    return "ctranslate2" if weights == ["model.bin"] else "transformers"


def ggml_files(folder: Path) -> list[Path]:
    """Return the whisper.cpp models in `folder`, such as ggml-model-f16.bin and ggml-tiny.en.bin."""
    return sorted(folder.glob("ggml-*.bin"))
