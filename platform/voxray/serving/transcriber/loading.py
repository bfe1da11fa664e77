"""Loads models into CTranslate2, by their names."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from voxray.serving.model_sources import ModelSources
from voxray.serving.protocol import ModelDescription
from voxray.serving.transcriber.decoder import Decoder
from voxray.serving.transcriber.models import ModelFiles
from voxray.whisper.ctranslate import CTranslate2Engine, chosen_device, trained_languages
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import ctranslate2_folder, is_ctranslate2
from voxray.whisper.prompt_order import served_folder
from voxray.whisper.tokens import Tokens

COPIES = "voxray-model-"  # and the id of the process, in the system's temporary folder


@dataclass(frozen=True, slots=True)
class EngineLoader:
    """A `ModelLoader` of CTranslate2 engines, with the arguments of `CTranslate2Engine`."""

    sources: ModelSources
    device: str = "auto"
    compute_type: str = "default"
    threads: int = 0
    workers: int = 1

    def files(self, name: str) -> ModelFiles:
        """Return the model's files. ModelError where there is no such model, or it is not to be had."""
        folder = ctranslate2_folder(self.sources.find(name))
        return ModelFiles(folder, (folder / "model.bin").stat().st_size)

    def load(self, files: ModelFiles) -> Decoder:
        """Load a model."""
        return Decoder(self.engine(files.folder))

    def engine(self, folder: Path) -> CTranslate2Engine:
        """Load the model in `folder`; on a CPU with its ids in the order for live windows.

        No copy of it stays: a model that is deleted is gone. What a process left that was killed while it
        loaded one, as for its memory, goes with the next.
        """
        _remove_left_copies()
        with tempfile.TemporaryDirectory(prefix=f"{COPIES}{os.getpid()}-") as copies:
            on_cpu = chosen_device(self.device) == "cpu"
            return CTranslate2Engine(
                served_folder(folder, Path(copies) / "model") if on_cpu else folder,
                device=self.device,
                compute_type=self.compute_type,
                threads=self.threads,
                workers=self.workers,
            )

    def describe(self, name: str, *, fetch: bool) -> ModelDescription | None:
        """Return what a model is made for, without loading it.

        None where it would have to be fetched or converted first, unless that may be done (`fetch`).
        """
        source = self.sources.find(name)
        if not fetch and not is_ctranslate2(Path(source)):
            return None
        return _description(ctranslate2_folder(source))


def _remove_left_copies() -> None:
    """Remove what killed processes of this machine have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{COPIES}*-*"):
        pid = folder.name.removeprefix(COPIES).partition("-")[0]
        if pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@lru_cache(maxsize=256)
def _description(folder: Path) -> ModelDescription:
    info = ModelInfo.load(folder)
    # Reading a tokenizer takes tens of milliseconds, in which no other thread runs.
    languages = info.languages or trained_languages(Tokens.load(folder), info)
    return ModelDescription(info.min_window_s, languages, loaded=False)
