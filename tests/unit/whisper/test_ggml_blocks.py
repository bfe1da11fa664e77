"""Blocks are, byte for byte, those that ggml itself makes."""

import ctypes
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxray.whisper.ggml_blocks import BLOCK, TYPE_CODES, MatrixType, encode

ROWS, COLUMNS = 64, 2 * BLOCK


@pytest.fixture(scope="module")
def ggml() -> ctypes.CDLL:
    spec = find_spec("_pywhispercpp")
    if spec is None or spec.origin is None:
        pytest.skip("needs ggml's library, which pywhispercpp brings")
    beside = Path(spec.origin).parent
    found = [*beside.glob("pywhispercpp.libs/libggml-base*"), *beside.glob("libggml-base*")]
    if not found:
        pytest.skip("needs ggml's library, and pywhispercpp has none here")
    return ctypes.CDLL(str(found[0]))


def quantized_by(ggml: ctypes.CDLL, weights: Any, kind: MatrixType, size: int) -> bytes:
    out = ctypes.create_string_buffer(size)
    pointer = weights.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    chunk = ggml.ggml_quantize_chunk
    chunk.restype = ctypes.c_size_t
    chunk.argtypes = [
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_float),
        ctypes.c_void_p,
        *(ctypes.c_int64,) * 3,
        ctypes.c_void_p,
    ]
    written = chunk(TYPE_CODES[kind], pointer, out, 0, len(weights), weights.shape[1], None)
    assert written == size
    return out.raw


def matrices() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    normal = rng.normal(0, 0.05, (ROWS, COLUMNS))
    return {
        "normal": normal,
        "heavy-tailed": rng.standard_t(2, (ROWS, COLUMNS)),
        "zeros": np.zeros((ROWS, COLUMNS)),
        "halves": rng.integers(-254, 255, (ROWS, COLUMNS)) / 2,  # of a step: where rounding rules differ
        "tiny": normal * 1e-7,
        "equal": np.tile([-1.0, 1.0], (ROWS, BLOCK)),
    }


@pytest.mark.parametrize("name", matrices())
@pytest.mark.parametrize("kind", ["q8_0", "q5_0", "f16"])
def test_blocks_are_those_of_ggml(ggml: ctypes.CDLL, kind: MatrixType, name: str) -> None:
    weights = matrices()[name].astype(np.float32)
    ours = encode(weights, kind)

    assert ours == quantized_by(ggml, weights, kind, len(ours))


@pytest.mark.parametrize(("kind", "size"), [("q8_0", 34), ("q5_0", 22), ("f16", 64)])
def test_a_block_has_the_size_of_ggml(kind: MatrixType, size: int) -> None:
    assert len(encode(np.ones((3, BLOCK), np.float32), kind)) == 3 * size
