"""CTranslate2's `model.bin`, version 6, by its variables (ctranslate2/specs/model_spec.py, `_serialize`).

    u32 version, str spec, u32 revision
    u32 count, then per variable: str name, u8 rank, u32 sizes.., u8 type, u32 bytes, data
    u32 count, then per alias: str name, str name of the variable that it shares

All little-endian; a `str` is a u16 length, then that many bytes, the last one zero. The converter fuses q, k
and v into `self_attention/linear_0`, and k and v into `attention/linear_1` (cross attention).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from voxray.errors import ModelError

Array = np.ndarray[Any, np.dtype[Any]]

BINARY_VERSION = 6
SPEC = ("WhisperSpec", 3)
# In the order of CTranslate2's DataType; numpy has no bfloat16, whose bits are the upper half of a float32's.
TYPES = ("<f4", "<i1", "<i2", "<i4", "<f2", "bfloat16")
# CTranslate2's modules, and transformers' that are fused in them.
MODULES = {
    "conv1": ("conv1",),
    "conv2": ("conv2",),
    "embeddings": ("embed_tokens",),
    "position_encodings": ("embed_positions",),
    "layer_norm": ("layer_norm",),
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}


@dataclass
class _Reader:
    """The bytes of a `model.bin`, read in order."""

    file: Path
    data: memoryview
    at: int = 0

    def bytes(self, count: int) -> memoryview:
        """Return the next `count` bytes, or raise ModelError where the file ends before."""
        part = self.data[self.at : self.at + count]
        if len(part) < count:
            raise ModelError(
                f"{self.file}: expected {count} bytes at {self.at}, got {len(part)}: the file is cut short "
                "or is not a CTranslate2 model; fetch or convert it again."
            )
        self.at += count
        return part

    def uint(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "little")

    def string(self) -> str:
        return bytes(self.bytes(self.uint(2))).rstrip(b"\0").decode()

    def variable(self) -> tuple[str, Array]:
        name = self.string()
        shape = [self.uint(4) for _ in range(self.uint(1))]
        kind, size = self.uint(1), self.uint(4)
        if kind >= len(TYPES):
            raise ModelError(f"{self.file}: expected a type of 0 to {len(TYPES) - 1} for {name}, got {kind}.")
        if TYPES[kind] == "bfloat16":
            bits = np.frombuffer(self.bytes(size), "<u2").astype("<u4") << 16
            return name, bits.view("<f4").reshape(shape)
        return name, np.frombuffer(self.bytes(size), TYPES[kind]).reshape(shape)


def read_variables(file: Path, mode: Literal["r", "r+"] = "r") -> dict[str, Array]:
    """Return the variables of a CTranslate2 Whisper model by name, as stored, aliases among them.

    The arrays are views of the file, which is mapped and not read: with `r+`, what is assigned to their
    elements is written to it (not to those of bfloat16). Raises ModelError.
    """
    if not file.stat().st_size:
        raise ModelError(f"{file}: expected a CTranslate2 model, got an empty file; fetch it again.")
    mapped: Any = np.memmap(file, np.uint8, mode=mode)  # no Buffer to mypy before Python 3.12
    reader = _Reader(file, memoryview(mapped))
    version = reader.uint(4)
    if version != BINARY_VERSION:
        raise ModelError(
            f"{file}: expected CTranslate2's binary version {BINARY_VERSION}, got {version}; convert the "
            f"model anew with a CTranslate2 that writes it."
        )
    spec = (reader.string(), reader.uint(4))
    if spec != SPEC:
        raise ModelError(
            f"{file}: expected {SPEC[0]} revision {SPEC[1]}, got {spec[0]} revision {spec[1]}; "
            "only Whisper models can be read."
        )
    try:
        variables = dict(reader.variable() for _ in range(reader.uint(4)))
        for _ in range(reader.uint(4)):
            alias, shared = reader.string(), reader.string()
            variables[alias] = variables[shared]
    except (KeyError, ValueError) as e:  # names that are no text, sizes that contradict one another
        if isinstance(e, ModelError):
            raise
        raise ModelError(f"{file}: expected a CTranslate2 model, got a damaged one ({e}).") from e
    return variables
