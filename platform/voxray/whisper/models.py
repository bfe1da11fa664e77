"""Model names to folders: `builtin`, a local folder, or a hub name such as `openai/whisper-large-v3`."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from voxray.errors import MissingDependency, ModelError
from voxray.whisper.digest import digest

BUILTIN = "builtin"
CACHE = Path.home() / ".cache" / "voxray"


def builtin(form: str) -> Path:
    """The folder of the model that comes with the package: form `model` (Hugging Face) or `model-int8`."""
    return Path(str(files("voxray") / "assets" / form))


def hf_folder(name: str) -> Path:
    """Return a Hugging Face folder (config.json, model.safetensors, tokenizer.json) for `name`.

    A CTranslate2 model is converted back once and kept in `CACHE`. Raises ModelError where the folder lacks
    weights or the hub does not give them.
    """
    folder = _folder(name)
    if is_ctranslate2(folder) and not any(folder.glob("*.safetensors")):
        return _hugging_face(folder)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: expected a model folder with config.json, and there is none.")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise ModelError(
            f"{folder}: expected weights (model.safetensors), and there are none; save the model again."
        )
    return folder


def ctranslate2_folder(name: str, quantization: str = "int8") -> Path:
    """A CTranslate2 folder for `name`; a Hugging Face model is converted once and kept in `CACHE`."""
    if name == BUILTIN:
        return builtin("model-int8")
    folder = _folder(name)
    if is_ctranslate2(folder):
        return folder
    source = hf_folder(str(folder))
    kept = CACHE / "ctranslate2" / f"{digest(source)[:16]}-{quantization}"
    if not is_ctranslate2(kept):
        _convert(source, kept, quantization)
    return kept


def _hugging_face(source: Path) -> Path:
    _needs_torch(source)
    from voxray.whisper.ctranslate2_weights import to_hugging_face

    kept = CACHE / "hugging-face" / digest(source)[:16]
    return kept if kept.is_dir() else to_hugging_face(source, kept)


def _needs_torch(source: Path) -> None:
    missing = [name for name in ("torch", "transformers") if not find_spec(name)]
    if missing:  # CTranslate2's converter starts without them and fails on a name
        raise MissingDependency(
            f"{source}: expected torch and transformers to convert it, and {' and '.join(missing)} cannot be "
            "found; pip install 'voxray[train]'."
        )


def _convert(source: Path, out: Path, quantization: str) -> None:
    _needs_torch(source)
    from voxray.whisper.export import convert  # transcribing a converted model must not need them

    convert(source, out, quantization)


def is_ctranslate2(folder: Path) -> bool:
    """Whether `folder` holds a converted model."""
    return (folder / "model.bin").is_file() and (folder / "config.json").is_file()


def _folder(name: str) -> Path:
    if name == BUILTIN:
        return builtin("model")
    return Path(name) if Path(name).is_dir() else _download(name)


def _download(name: str) -> Path:
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists():
        raise ModelError(
            f"model {name!r}: expected `builtin`, a folder or a hub name, and there is no such folder."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, ignore_patterns=["*.msgpack", "*.h5", "*.ot", "*.onnx"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as e:
        raise ModelError(
            f"model {name!r}: expected `builtin`, a folder or a hub name; no such folder here, and the hub "
            f"did not give it ({type(e).__name__})."
        ) from e
