"""Low-rank adapters (LoRA, arXiv 2106.09685) of Whisper, by peft: put in, written as peft's files, merged.

DoRA (arXiv 2402.09353) adds the magnitude of each column of the weights; it is merged, and has no file.
"""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import nn

from voxray.errors import ModelError
from voxray.training.lora_options import LoraOptions
from voxray.whisper.adapter import load_adapter, weights_digest

ADAPTER_PREFIX = "base_model.model."  # peft's, before the names of the modules of what it wraps


def add_lora(model: Any, options: LoraOptions, *, dora: bool = False) -> Any:
    """Put an adapter, which changes nothing yet, into `model`, and let nothing else be trained."""
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(("model.encoder.", "model.decoder."))
    ]
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,  # type: ignore[arg-type]  # peft takes floats
        target_modules=linear,
        use_dora=dora,
    )
    return inject_adapter_in_model(config, model)


def load_lora(model: Any, folder: Path) -> None:
    """Set the adapter in `model` to that in `folder`, which has the same rank and layers.

    Raises ModelError where `folder` holds none or another shape of one.
    """
    matrices = load_adapter(folder).matrices
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    for name, layer in layers.items():
        for side, matrix in zip("AB", matrices.get(name, ()), strict=False):
            weight = getattr(layer, f"lora_{side}")["default"].weight
            if weight.shape != matrix.shape:
                raise ModelError(
                    f"{folder}: expected matrices of {tuple(weight.shape)} for {name}, got {matrix.shape}; "
                    "set lora.rank to that of the adapter."
                )
            weight.data.copy_(torch.from_numpy(matrix))


def adapter_state(model: Any) -> dict[str, torch.Tensor]:
    """Return the adapter's weights in `model` in float16, under the names that peft gives them in a file."""
    return {
        f"{ADAPTER_PREFIX}{name}.lora_{side}.weight": getattr(layer, f"lora_{side}")["default"]
        .weight.detach()
        .half()
        .contiguous()
        for name, layer in model.named_modules()
        if isinstance(layer, LoraLayer)
        for side in "AB"
    }


def save_adapter(model: Any, folder: Path, options: LoraOptions) -> Path:
    """Write the adapter in `model` to `folder` as peft does, in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    state = adapter_state(model)
    save_file(state, folder / "adapter_model.safetensors")
    modules = sorted({name.removeprefix(ADAPTER_PREFIX).rsplit(".", 2)[0] for name in state})
    config = {
        "peft_type": "LORA",
        "r": options.rank,
        "lora_alpha": options.alpha,
        "target_modules": modules,
        "base_model_name_or_path": None,
        "bias": "none",
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return folder


def base_digest(model: Any) -> str:
    """Return the digest (`weights_digest`) of the weights under the adapter in `model`."""
    layers: list[tuple[str, Any]] = [(n, m) for n, m in model.named_modules() if isinstance(m, LoraLayer)]
    return weights_digest((n, m.base_layer.weight.detach().cpu().half().numpy()) for n, m in layers)


def merged_state(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights of `model` under its own names, its adapter, if any, merged into them."""
    state: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        if ".lora_" not in name:
            state[name.replace(".base_layer.", ".")] = value.detach()
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            state[f"{name}.weight"] = _merged_weight(layer)
    return state


def _merged_weight(layer: Any) -> torch.Tensor:
    if layer.use_dora["default"]:
        merged = copy.deepcopy(layer)
        merged.merge()
        return torch.as_tensor(merged.base_layer.weight).detach()
    return torch.as_tensor(layer.base_layer.weight + layer.get_delta_weight("default")).detach()
