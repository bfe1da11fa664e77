"""Makes a student: some of the teacher's decoder layers, everything else copied (Distil-Whisper, 3.1)."""

import copy
from collections.abc import Sequence
from typing import Any

from voxray.errors import ModelError
from voxray.whisper.transformers_engine import default_heads


def spread(total: int, kept: int) -> list[int]:
    """Return `kept` of `total` layer indices, maximally spaced: floor(k (N - 1) / (n - 1)), the last N - 1.

    One kept layer is the last one. 32 -> 2 gives [0, 31], 32 -> 4 gives [0, 10, 20, 31].
    """
    if not 1 <= kept <= total:
        raise ModelError(f"layers: expected 1 to {total}, the teacher's, got {kept}.")
    if kept == 1:
        return [total - 1]
    return [k * (total - 1) // (kept - 1) for k in range(kept - 1)] + [total - 1]


def layer_indices(total: int, wanted: int | Sequence[int]) -> list[int]:
    """Return the layers that a count or an explicit list names; negative ones count from the end."""
    if isinstance(wanted, int):
        return spread(total, wanted)
    indices = [i + total if i < 0 else i for i in wanted]
    wrong = [w for w, i in zip(wanted, indices, strict=True) if not 0 <= i < total]
    if wrong or not indices:
        raise ModelError(f"layers: expected indices from {-total} to {total - 1}, got {list(wanted)}.")
    return indices


def make_student(
    teacher: Any, decoder_layers: int | Sequence[int], encoder_layers: int | Sequence[int] | None = None
) -> Any:
    """Copy `teacher` (a WhisperForConditionalGeneration) with only the named layers."""
    student = copy.deepcopy(teacher)
    config = student.config
    kept = layer_indices(config.decoder_layers, decoder_layers)
    student.model.decoder.layers = _chosen(student.model.decoder.layers, kept)
    config.decoder_layers = len(kept)
    if encoder_layers is not None:
        chosen = layer_indices(config.encoder_layers, encoder_layers)
        student.model.encoder.layers = _chosen(student.model.encoder.layers, chosen)
        config.encoder_layers = config.num_hidden_layers = len(chosen)
    student.generation_config.alignment_heads = student_heads(
        getattr(teacher.generation_config, "alignment_heads", None) or [],
        kept,
        config.decoder_attention_heads,
    )
    return student


def student_heads(heads: Sequence[Sequence[int]], kept: Sequence[int], per_layer: int) -> list[list[int]]:
    """Return the teacher's alignment heads that the student still has, renumbered.

    With none left, return Whisper's default.
    """
    place = {layer: i for i, layer in enumerate(kept)}
    left = [[place[layer], head] for layer, head in heads if layer in place]
    return left or default_heads(len(kept), per_layer)


def _chosen(layers: Any, indices: Sequence[int]) -> Any:
    chosen = type(layers)(copy.deepcopy(layers[i]) for i in indices)
    for place, layer in enumerate(chosen):
        for attention in (layer.self_attn, getattr(layer, "encoder_attn", None)):
            if attention is not None:
                attention.layer_idx = place  # the key of its cache
    return chosen
