"""Imports point one way (architecture.md): read from the source, without importing anything."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "platform"
MODULES = {
    ".".join(f.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): f
    for f in sorted((SOURCE / "voxray").rglob("*.py"))
}

GROUND = {"errors", "transcript", "audio", "text", "config", "languages", "files", "guards"}
GROUND |= {"captions", "orthography", "simplified_chinese", "word_segmentation", "writing_systems"}
MODELS = GROUND | {"speech", "whisper"}
STAGES = {"labelling", "training", "scoring", "serving"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "writing_systems": set(),
    "orthography": {"writing_systems"},
    "transcript": {"writing_systems"},
    "audio": {"errors"},
    "simplified_chinese": {"errors"},
    "text": {"errors", "orthography", "simplified_chinese"},
    "config": {"errors"},
    "files": set(),
    "word_segmentation": {"writing_systems"},
    "captions": {"transcript", "word_segmentation"},
    "guards": {"text", "word_segmentation", "writing_systems"},
    "languages": {"errors"},
    "cluster": {"errors"},
    "remote_out": {"errors"},
    "job": {"errors", "config", "files", "remote_out"},
    "speech": {"errors", "audio"},
    "streaming": {"errors", "transcript", "text", "audio", "guards"},
    "wire": {"errors", "transcript", "config", "languages", "streaming"},
    "client": {"errors", "transcript", "text", "config", "wire", "audio"},
    "whisper": MODELS,
    "transcribe": MODELS,
    "long_form": MODELS | {"transcribe"},
    "corpora": MODELS,
    **{stage: MODELS | {"corpora"} for stage in STAGES},
    "scoring": MODELS | {"corpora", "streaming", "transcribe", "long_form"},
    "serving": MODELS | {"corpora", "streaming", "transcribe", "wire", "cluster"},
    "recipes": MODELS | STAGES | {"corpora", "cluster", "job", "remote_out", "streaming", "transcribe"},
    "doctor": MODELS | {"transcribe"},
    "cli": MODELS | {"transcribe", "long_form", "doctor", "client", "wire", "corpora"},
}
"""What each part of the package may import besides itself."""

RAY_ALLOWED = (
    "voxray.cluster",
    "voxray.corpora",
    "voxray.labelling.pipeline",
    "voxray.training.trainer",
    "voxray.training.search",
    "voxray.recipes",
    "voxray.serving.ray",
)
SERVING_MAY_IMPORT: dict[str, set[str]] = {
    "voxray.serving.audio_input": set(),
    "voxray.serving.client_protocols": {"api_error"},
    "voxray.serving.placement": {"protocol"},
    "voxray.serving.sessions": {"protocol", "settings", "observe", "token_bucket", "audio_input"},
}
"""What these rooms of serving may import of the others; none of them imports Ray."""
BASE = (
    *(
        f"voxray.{name}"
        for name in (
            *sorted(GROUND),
            "speech",
            "transcribe",
            "long_form.algorithms",
            "job",
            "cluster",
            "cli",
            "doctor",
        )
    ),
    *(
        f"voxray.whisper.{name}"
        for name in (
            "tokens",
            "labels",
            "models",
            "engines",
            "ctranslate",
            "adapter",
            "ctranslate2_binary",
            "registry",
        )
    ),
)
"""What the base install runs: imported without any of `EXTRAS`."""
EXTRAS = {
    "torch",
    "transformers",
    "ray",
    "pyarrow",
    "datasets",
    "peft",
    "matplotlib",
    "jinja2",
}
EXTRAS |= {"scipy", "pandas", "tensorboard", "starlette", "uvicorn"}


def imports(file: Path, *, at_import_only: bool = False) -> Iterator[str]:
    """Every dotted name that `file` imports; `from a import b` gives `a.b` as well as `a`.

    `at_import_only`: only those that run when the module is imported.
    """
    body: list[ast.AST] = [ast.parse(file.read_text())]
    while body:
        node = body.pop()
        if at_import_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_import_only and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            body += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        body += ast.iter_child_nodes(node)


def part(name: str) -> str | None:
    """The part of the package that a dotted name belongs to."""
    pieces = name.split(".")
    return pieces[1] if ".".join(pieces[:2]) in MODULES and len(pieces) > 1 else None


def reached(module: str, seen: set[str]) -> set[str]:
    """The top-level packages that importing `module` imports, through this package's own modules."""
    if module in seen:
        return set()
    seen.add(module)
    found: set[str] = set()
    for name in imports(MODULES[module], at_import_only=True):
        if name in MODULES:
            found |= reached(name, seen)
        elif not name.startswith("voxray"):
            found.add(name.split(".")[0])
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    own = part(module)
    if own is None:
        return  # the package itself: its version
    assert own in MAY_IMPORT, f"{own}: say in MAY_IMPORT which layer it is in"
    wrong = {p for name in imports(MODULES[module]) if (p := part(name))} - MAY_IMPORT[own] - {own}

    assert not wrong, f"{module} may import {sorted(MAY_IMPORT[own])}, and it imports {sorted(wrong)}"


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith(RAY_ALLOWED)])
def test_ray_stays_in_the_rims(module: str) -> None:
    assert "ray" not in {name.split(".")[0] for name in imports(MODULES[module])}


@pytest.mark.parametrize("module", BASE)
def test_the_base_is_imported_without_the_extras(module: str) -> None:
    assert not reached(module, set()) & EXTRAS


@pytest.mark.parametrize(("module", "rooms"), SERVING_MAY_IMPORT.items())
def test_what_the_rooms_of_serving_import_of_one_another(module: str, rooms: set[str]) -> None:
    names = {n for m in MODULES if f"{m}.".startswith(f"{module}.") for n in imports(MODULES[m])}
    found = {n.split(".")[2] for n in names if n.startswith("voxray.serving.")} - {module.split(".")[2]}

    assert found <= rooms


def test_the_protocol_of_serving_knows_only_wire_streaming_and_transcripts() -> None:
    names = {n for n in imports(MODULES["voxray.serving.protocol"]) if n.startswith("voxray")}

    assert {part(n) for n in names} <= {"wire", "streaming", "transcript"}


def test_streaming_is_pure() -> None:
    modules = [m for m in MODULES if part(m) == "streaming"]

    for module in modules:
        assert not reached(module, set()) & {"asyncio", "av", "ray", "torch", "starlette", "ctranslate2"}


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.py")), ids=lambda job: job.stem)
def test_a_job_is_one_call_into_the_package(job: Path) -> None:
    used = {part(name) for name in imports(job) if name.startswith("voxray.")}

    assert used
    assert used <= {"recipes", "job"}


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.py")), ids=lambda job: job.stem)
def test_no_job_hides_a_module(job: Path) -> None:
    """A script puts jobs/ first on sys.path, so that its siblings are found before everything else."""
    from importlib.util import find_spec

    assert find_spec(job.stem) is None


def test_layers_see_what_they_are_meant_to() -> None:
    """The reader of imports itself: what it must find, it finds."""
    assert "voxray.errors" in set(imports(MODULES["voxray.audio.decoding"]))
    assert "torch" in reached("voxray.whisper.features", set())
    assert {"ctranslate2", "tokenizers"} <= reached("voxray.whisper.ctranslate", set())
    assert "ray" in set(imports(MODULES["voxray.cluster"]))
    assert "ray" not in set(imports(MODULES["voxray.cluster"], at_import_only=True))
