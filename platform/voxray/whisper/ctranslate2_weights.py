"""From a CTranslate2 Whisper folder to a Hugging Face one, so that a converted model can be trained.

`ctranslate2_binary` reads its variables. Whisper's k has no bias, though the fused projections have one.
float16, bfloat16 and float32 come back exactly; int8 and int16 come back as the float32 that they stand for.
"""

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from voxray.errors import ModelError
from voxray.files import atomic_directory
from voxray.whisper.ctranslate2_binary import MODULES, Array, read_variables
from voxray.whisper.export import generation_values
from voxray.whisper.tokens import Tokens

log = logging.getLogger(__name__)

GELU = 3  # ctranslate2.specs.common_spec.Activation
COMPANIONS = ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "voxray.json")

VARIABLE = re.compile(r"(encoder|decoder)/(?:layer_(\d+)/)?(.+)/(weight|bias|gamma|beta|encodings)")
PARAMETER = {"gamma": "weight", "beta": "bias", "encodings": "weight"}


def to_hugging_face(source: Path, out: Path) -> Path:
    """Write the Hugging Face form of the CTranslate2 folder `source` to `out`, whole or not at all.

    Raises ModelError where `source` is cut short, is no Whisper model, or has no fast tokenizer.
    """
    file, tokens = source / "model.bin", Tokens.load(source)
    variables = read_variables(file)
    if any(name.endswith("_scale") for name in variables):
        log.warning("%s: its weights are quantized, and training starts from what is left of them.", source)
    try:
        state = _state_dict(dequantized(variables))
        config = _config(variables, state, tokens)
        _check_names_and_shapes(config, state)
    except KeyError as e:
        raise ModelError(f"{file}: expected the variables of a Whisper model, got none for {e}.") from e
    except ValueError as e:
        raise ModelError(f"{file}: {e}") from e
    with atomic_directory(out) as part:
        save_file(state, part / "model.safetensors", metadata={"format": "pt"})
        config.save_pretrained(part)
        _write_companions(source, part, config, tokens)
    return out


def dequantized(variables: dict[str, Array]) -> dict[str, Array]:
    """Return `variables` in floating point: an integer weight is divided by its scale (one a row, or one)."""
    floats = {  # by identity, because aliases share a value and have no scale of their own
        id(value): value.astype(np.float32) / scale.astype(np.float32).reshape(-1, *[1] * (value.ndim - 1))
        for name, value in variables.items()
        if (scale := variables.get(f"{name}_scale")) is not None
    }
    return {n: floats.get(id(v), v) for n, v in variables.items() if not n.endswith("_scale")}


def _state_dict(variables: dict[str, Array]) -> dict[str, Array]:
    """Return the weights under transformers' names, the output projection only where it is not shared."""
    state: dict[str, Array] = {}
    for name, value in variables.items():
        place = VARIABLE.fullmatch(name)
        if not place:  # a setting, such as decoder/pre_norm
            continue
        part, layer, module, parameter = place.groups()
        if module == "projection":
            if value is not variables["decoder/embeddings/weight"]:
                state[f"proj_out.{parameter}"] = value
            continue
        prefix = f"model.{part}." + (f"layers.{layer}." if layer else "")
        parameter = PARAMETER.get(parameter, parameter)
        for target, own in zip(MODULES[module], np.split(value, len(MODULES[module])), strict=True):
            if parameter == "bias" and target.endswith("k_proj"):
                if own.any():
                    raise ValueError(f"expected no bias for k, as in Whisper, got one in {name}.")
                continue
            state[f"{prefix}{target}.{parameter}"] = own
    widest = np.result_type(*state.values())
    return {name: np.ascontiguousarray(value, widest) for name, value in state.items()}


def _config(variables: dict[str, Array], state: dict[str, Array], tokens: Tokens) -> Any:
    """Return the WhisperConfig that follows from the shapes of the weights."""
    if int(variables["decoder/activation"]) != GELU or not variables["decoder/pre_norm"]:
        raise ValueError("expected GELU and layer norms that come first, as in Whisper, got other layers.")

    def size(name: str, axis: int = 0) -> int:
        return int(state[f"model.{name}.weight"].shape[axis])

    def layers(part: str) -> int:
        return 1 + max(int(name.split(".")[3]) for name in state if name.startswith(f"model.{part}.layers."))

    return WhisperConfig(
        architectures=["WhisperForConditionalGeneration"],
        vocab_size=size("decoder.embed_tokens"),
        num_mel_bins=size("encoder.conv1", 1),
        d_model=size("encoder.conv1"),
        encoder_layers=layers("encoder"),
        decoder_layers=layers("decoder"),
        encoder_attention_heads=int(variables["encoder/num_heads"]),
        decoder_attention_heads=int(variables["decoder/num_heads"]),
        encoder_ffn_dim=size("encoder.layers.0.fc1"),
        decoder_ffn_dim=size("decoder.layers.0.fc1"),
        max_source_positions=size("encoder.embed_positions"),
        max_target_positions=size("decoder.embed_positions"),
        scale_embedding=bool(variables["decoder/scale_embeddings"]),
        tie_word_embeddings="proj_out.weight" not in state,
        decoder_start_token_id=tokens.start,
        bos_token_id=tokens.end,
        eos_token_id=tokens.end,
        pad_token_id=tokens.end,
        begin_suppress_tokens=None,  # the generation config has them; the default is OpenAI's ids
        dtype=str(next(iter(state.values())).dtype),
    )


def _check_names_and_shapes(config: Any, state: dict[str, Array]) -> None:
    with torch.device("meta"):
        model: Any = WhisperForConditionalGeneration(config)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if config.tie_word_embeddings:
        del expected["proj_out.weight"]
    got = {name: value.shape for name, value in state.items()}
    if wrong := sorted(n for n in expected.keys() | got.keys() if expected.get(n) != got.get(n)):
        first = wrong[0]
        shapes = [sizes.get(first, "none") for sizes in (expected, got)]
        raise ValueError(f"expected {first} of shape {shapes[0]}, got {shapes[1]}.")


def _write_companions(source: Path, out: Path, config: Any, tokens: Tokens) -> None:
    """Write what goes along with the weights: tokenizer, preprocessor and generation config."""
    for name in COMPANIONS:
        if (source / name).is_file():
            shutil.copy(source / name, out / name)
    if not (out / "preprocessor_config.json").is_file():
        preprocessor: Any = WhisperFeatureExtractor
        preprocessor(feature_size=config.num_mel_bins).save_pretrained(out)
    if not (out / "tokenizer_config.json").is_file():
        (out / "tokenizer_config.json").write_text(json.dumps(_tokenizer_values(tokens), indent=1))
    served = json.loads((source / "config.json").read_text())
    kept = source / "generation_config.json"
    given = {
        **(json.loads(kept.read_text()) if kept.is_file() else {}),
        "suppress_tokens": served.get("suppress_ids"),
        "begin_suppress_tokens": served.get("suppress_ids_begin"),
        "alignment_heads": served.get("alignment_heads"),
    }
    values = generation_values(given, tokens, config)
    (out / "generation_config.json").write_text(json.dumps(values, indent=1))


def _tokenizer_values(tokens: Tokens) -> dict[str, Any]:
    end = tokens.tokenizer.id_to_token(tokens.end)
    special = tokens.tokenizer.get_added_tokens_decoder()
    return {
        "tokenizer_class": "WhisperTokenizer",
        "add_prefix_space": False,
        "bos_token": end,
        "eos_token": end,
        "unk_token": end,
        "extra_special_tokens": [t.content for i, t in sorted(special.items()) if i < tokens.first_timestamp],
    }
