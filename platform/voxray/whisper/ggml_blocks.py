"""ggml's storage types: float32, float16, and blocks of 32 weights that share a scale.

    q8_0: f16 d, 32 x int8                      w = d * q          34 bytes
    q5_0: f16 d, u32 fifth bits, 16 x 2 nibbles w = d * (q - 16)   22 bytes

The formulas are those of ggml (ggml-quants.c, `quantize_row_q8_0_ref` and `quantize_row_q5_0_ref`), in
float32 like there, so that the bytes are the same. A quantized matrix has rows of whole blocks.
"""

from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
TensorType = Literal["f32", "f16", "q8_0", "q5_0"]
MatrixType = Literal["f16", "q8_0", "q5_0"]

BLOCK = 32
TYPE_CODES: dict[TensorType, int] = {"f32": 0, "f16": 1, "q5_0": 6, "q8_0": 8}
"""ggml.h, `enum ggml_type`: the type of one tensor."""


def encode(weights: Array, kind: TensorType) -> bytes:
    """Return `weights` (row-major; to be quantized, with rows of a multiple of 32) as ggml stores them."""
    if kind == "f32":
        return weights.astype("<f4").tobytes()
    if kind == "f16":
        return weights.astype("<f2").tobytes()
    blocks_NB = weights.astype(np.float32).reshape(-1, BLOCK)
    return (q8_0 if kind == "q8_0" else q5_0)(blocks_NB).tobytes()


def q8_0(blocks_NB: Array) -> Array:
    """Return float32 blocks of shape (N, 32) as records of 34 bytes, each weight within half a step."""
    scales_N = np.abs(blocks_NB).max(axis=1) / np.float32(127)
    scaled_NB = blocks_NB * _inverse(scales_N)[:, None]
    records = np.empty(len(blocks_NB), dtype=[("d", "<f2"), ("q", "i1", BLOCK)])
    records["d"] = scales_N
    records["q"] = np.trunc(scaled_NB + np.copysign(np.float32(0.5), scaled_NB))  # roundf: halves from zero
    return records


def q5_0(blocks_NB: Array) -> Array:
    """Return float32 blocks of shape (N, 32) as records of 22 bytes; the largest weight becomes -16 steps."""
    largest_N1 = np.abs(blocks_NB).argmax(axis=1, keepdims=True)
    scales_N = np.take_along_axis(blocks_NB, largest_N1, axis=1)[:, 0] / np.float32(-16)
    shifted_NB = blocks_NB * _inverse(scales_N)[:, None] + np.float32(16.5)
    steps_NB = np.minimum(shifted_NB.astype(np.int8), 31).astype(np.uint8)
    low_NB, high_NB = steps_NB & 0x0F, steps_NB >> 4
    records = np.empty(len(blocks_NB), dtype=[("d", "<f2"), ("h", "u1", 4), ("q", "u1", BLOCK // 2)])
    records["d"] = scales_N
    records["h"] = np.packbits(high_NB, axis=1, bitorder="little")
    records["q"] = low_NB[:, : BLOCK // 2] | low_NB[:, BLOCK // 2 :] << 4
    return records


def _inverse(scales_N: Array) -> Array:
    one = np.float32(1)
    inverse: Array = np.divide(one, scales_N, out=np.zeros_like(scales_N), where=scales_N != 0)
    return inverse
