"""The page's pure modules under node, where it is there; tests/service/test_page.py has a browser."""

import io
import json
import shutil
import subprocess
from base64 import b64decode
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxray.serving.trainings.archives import ArchiveLimits, unpack
from voxray.transcript import Segment, Transcript, to_srt, to_text, to_vtt

HERE = Path(__file__).parent
TESTS = sorted(HERE.glob("*.test.js"))
ESM = "--experimental-detect-module"  # node before 22 takes .js for CommonJS otherwise

NODE = shutil.which("node") or ""
pytestmark = pytest.mark.skipif(not NODE, reason="node is not installed")

TIMES = st.one_of(
    st.integers(0, 400_000_000).map(lambda half_ms: half_ms / 2000), st.floats(0, 200_000, allow_nan=False)
)
SEGMENTS = st.lists(
    st.builds(Segment, TIMES, TIMES, st.text(max_size=30)),
    max_size=20,
)


def node(*words: str | Path, stdin: str = "") -> str:
    """The output of node; where it fails, the test does."""
    command = [NODE, "--no-warnings", ESM, *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_modules(file: Path) -> None:
    assert "# fail 0" in node("--test", "--test-reporter", "tap", file)


@settings(max_examples=25)
@given(SEGMENTS)
def test_captions_are_those_of_the_package(segments: list[Segment]) -> None:
    in_lines = [replace(s, text=" ".join(s.text.split())) for s in segments]  # as the page writes all texts
    transcript = Transcript(tuple(in_lines), "en", 0.0)
    rendered = json.loads(node(HERE / "render.js", stdin=json.dumps([asdict(s) for s in segments])))

    assert rendered == {
        "text": to_text(transcript),
        "srt": to_srt(transcript),
        "vtt": to_vtt(transcript),
    }


def test_a_packed_folder_is_one_that_the_service_unpacks(tmp_path: Path) -> None:
    files = {
        "mine/a.txt": "plain",
        "mine/ü 声.txt": "other letters",
        f"mine/{'long/' * 9}{'n' * 100}.txt": "a long path",
        "mine/empty.txt": "",
        "mine/block.txt": "x" * 512,
    }
    pieces = node(HERE / "pack.js", stdin=json.dumps(files)).splitlines()

    archive = io.BytesIO(b"".join(map(b64decode, pieces)))
    assert unpack(archive, tmp_path / "data", ArchiveLimits(9, 9_000)) == len(files)
    unpacked = {f"mine/{f.relative_to(tmp_path / 'data')}": f for f in tmp_path.rglob("*.txt")}
    assert {name: file.read_text() for name, file in unpacked.items()} == files
