"""Low-rank adapters (LoRA, arXiv 2106.09685) put onto CTranslate2 Whisper models, with numpy alone.

    W + alpha / rank * B A        for each linear layer that the adapter names

An adapter is a folder as peft writes it (adapter_config.json, adapter_model.safetensors) with a voxray.json
that says which weights it was made for, the smallest window that the two of them passed, and which tokens
are still barred at the beginning of a text: a model that was trained on silence may end there at once.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from voxray.errors import ModelError
from voxray.files import atomic_directory
from voxray.whisper.ctranslate2_binary import MODULES, Array, read_variables
from voxray.whisper.model_info import ModelInfo

MODULE = re.compile(r"model\.(encoder|decoder)\.layers\.(\d+)\.(.+)")
FUSED = {hf: (ct2, k, len(hfs)) for ct2, hfs in MODULES.items() for k, hf in enumerate(hfs)}
PEFT_PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's matrices by module: `(A, B)` of shapes (rank, inputs) and (outputs, rank)."""

    folder: Path
    scale: float
    matrices: Mapping[str, tuple[Array, Array]]
    base_digest: str
    min_window_s: float
    begin_suppress_tokens: tuple[int, ...] | None
    """What may not be decoded first, in place of the model's own; None leaves that as it is."""

    def delta(self, module: str) -> Array:
        """Return what is added to the weight of `module`, shape (outputs, inputs), float32."""
        down, up = self.matrices[module]
        product: Array = self.scale * (up.astype(np.float32) @ down.astype(np.float32))
        return product

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the adapter's files."""
        sha = hashlib.sha256()
        for name in ("adapter_config.json", "adapter_model.safetensors", "voxray.json"):
            sha.update((self.folder / name).read_bytes())
        return sha.hexdigest()


def load_adapter(folder: Path) -> Adapter:
    """Return the adapter in `folder`; ModelError where it is not one of linear layers of Whisper."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text())
        ours = json.loads((folder / "voxray.json").read_text())
        weights = load_file(folder / "adapter_model.safetensors")
        modules = sorted(
            name[len(PEFT_PREFIX) : -len(".lora_A.weight")] for name in weights if ".lora_A." in name
        )
        matrices = {
            m: tuple(weights[f"{PEFT_PREFIX}{m}.lora_{side}.weight"] for side in "AB") for m in modules
        }
        return Adapter(
            folder,
            config["lora_alpha"] / config["r"],
            matrices,  # type: ignore[arg-type]  # tuples of two
            ours["base_digest"],
            float(ours["min_window_s"]),
            tuple(barred) if (barred := ours.get("begin_suppress_tokens")) is not None else None,
        )
    except (OSError, KeyError, ValueError, SafetensorError) as e:
        raise ModelError(
            f"{folder}: expected an adapter that jobs/adapt.py wrote; {type(e).__name__}: {e}."
        ) from e


def weights_digest(matrices: Iterable[tuple[str, Array]]) -> str:
    """Return the SHA-256 of weights by name, as float16: that of a model in whatever form it is kept."""
    sha = hashlib.sha256()
    for name, weight in sorted(matrices, key=lambda pair: pair[0]):
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(weight, "<f2").tobytes())
    return sha.hexdigest()


def apply_adapter(base: Path, adapter: Adapter, out: Path) -> Path:
    """Write the CTranslate2 model `base` with `adapter` merged into it to `out`, whole or not at all.

    Weights keep the type that they have in `base`. Raises ModelError where `base` is not the model that the
    adapter was made for, or is quantized.
    """
    with atomic_directory(out) as part:
        for file in base.iterdir():
            if file.is_file() and file.name != "voxray.json":
                shutil.copyfile(file, part / file.name)  # contents alone: the base may be read-only
        variables = read_variables(part / "model.bin", "r+")
        weights = {module: _weight(variables, module, base) for module in adapter.matrices}
        if (found := weights_digest(weights.items())) != adapter.base_digest:
            raise ModelError(
                f"{base}: expected the model that {adapter.folder} was made for (weights "
                f"{adapter.base_digest[:12]}), got another ({found[:12]}); make one with jobs/adapt.py."
            )
        for module, weight in weights.items():
            weight[...] = weight.astype(np.float32) + adapter.delta(module)
        if adapter.begin_suppress_tokens is not None:
            _bar_first(part / "config.json", adapter.begin_suppress_tokens)
        ModelInfo(min_window_s=adapter.min_window_s, adapter=adapter.digest).save(part)
    return out


def _bar_first(file: Path, tokens: tuple[int, ...]) -> None:
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "suppress_ids_begin": list(tokens)}, indent=1))


def adapted(base: Path, folder: Path, cache: Path) -> Path:
    """Return the CTranslate2 model `base` with the adapter in `folder`, merged once and kept in `cache`."""
    adapter = load_adapter(folder)
    kept = cache / "adapted" / f"{adapter.base_digest[:12]}-{adapter.digest[:12]}"
    return kept if (kept / "model.bin").is_file() else apply_adapter(base, adapter, kept)


def _weight(variables: Mapping[str, Array], module: str, base: Path) -> Array:
    """Return the view of the weight of transformers' `module` in CTranslate2's `variables`."""
    place = MODULE.fullmatch(module)
    if not place or place[3] not in FUSED:
        raise ModelError(f"{module}: expected a linear layer of Whisper in an adapter, got another module.")
    name, k, parts = FUSED[place[3]]
    fused: Any = variables.get(f"{place[1]}/layer_{place[2]}/{name}/weight")
    if fused is None or fused.dtype.kind != "f":
        got = "none" if fused is None else str(fused.dtype)
        raise ModelError(
            f"{base}: expected float weights for {module}, got {got}; take the unquantized model."
        )
    rows = len(fused) // parts
    return np.asarray(fused[k * rows : (k + 1) * rows])
