"""The names of weights in OpenAI's Whisper (openai/whisper, model.py), which whisper.cpp has too."""

import re

MODEL_FILE = "model.pt"
TENSOR = re.compile(r"model\.(encoder|decoder)\.(?:layers\.(\d+)\.)?(.+)\.(weight|bias)")
OUTER = {  # transformers' modules outside of the layers
    "layer_norm": {"encoder": "ln_post", "decoder": "ln"},
    "embed_tokens": {"decoder": "token_embedding"},
    "conv1": {"encoder": "conv1"},
    "conv2": {"encoder": "conv2"},
}
INNER = {  # and inside
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}


def openai_name(name: str) -> str:
    """Return OpenAI's name of a weight of transformers' WhisperForConditionalGeneration."""
    place = TENSOR.fullmatch(name)
    assert place, name
    part, layer, module, parameter = place.groups()
    if module == "embed_positions":
        return f"{part}.positional_embedding"
    inner = f"blocks.{layer}.{INNER[module]}" if layer else OUTER[module][part]
    return f"{part}.{inner}.{parameter}"
