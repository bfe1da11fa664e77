"""Model names to folders: `builtin`, a local folder, or a hub name such as `openai/whisper-large-v3`."""

import hashlib
from importlib.resources import files
from pathlib import Path

from voxray.errors import ModelError, VoxrayError

BUILTIN = "builtin"
CACHE = Path.home() / ".cache" / "voxray"


def builtin(form: str) -> Path:
    """The folder of the model that comes with the package: form `model` (Hugging Face) or `model-int8`."""
    return Path(str(files("voxray") / "assets" / form))


def hf_folder(name: str) -> Path:
    """A Hugging Face folder (config.json, model.safetensors, tokenizer.json) for `name`.

    Raises ModelError where the folder lacks weights or the hub does not give them.
    """
    if name == BUILTIN:
        return builtin("model")
    folder = Path(name) if Path(name).exists() else _download(name)
    if is_ctranslate2(folder):
        raise ModelError(
            f"{folder}: expected a Hugging Face folder, and it is a CTranslate2 one, which cannot be trained."
        )
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
    if is_ctranslate2(Path(name)):
        return Path(name)
    source = hf_folder(name)
    if is_ctranslate2(source):
        return source
    kept = CACHE / "ctranslate2" / f"{digest(source)[:16]}-{quantization}"
    if not is_ctranslate2(kept):
        from voxray.whisper.export import convert  # torch and transformers, which transcribing must not need

        convert(source, kept, quantization)
    return kept


def is_ctranslate2(folder: Path) -> bool:
    """Whether `folder` holds a converted model."""
    return (folder / "model.bin").is_file() and (folder / "config.json").is_file()


def digest(folder: Path) -> str:
    """SHA-256 over a model folder's names and contents: what binds labels and exports to their source."""
    sha = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in {".json", ".safetensors", ".bin"}):
        sha.update(file.name.encode())
        with file.open("rb") as f:
            while block := f.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def _download(name: str) -> Path:
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"model {name!r}: expected `builtin`, a folder or a hub name, and there is no such folder."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, ignore_patterns=["*.msgpack", "*.h5", "*.ot", "*.onnx"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as e:
        if isinstance(e, VoxrayError):
            raise
        raise ModelError(
            f"model {name!r}: expected `builtin`, a folder or a hub name; no such folder here, and the hub "
            f"did not give it ({type(e).__name__})."
        ) from e
