"""Which files are transcribed together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voxray.audio import SAMPLE_RATE, Pcm, duration_s, encode
from voxray.cli.file_batches import FileBatches
from voxray.cli.recordings import input_files
from voxray.errors import AudioError
from voxray.transcript import Transcript
from voxray.whisper.engines import DecodingOptions


def test_short_files_share_a_call_and_a_long_one_has_one_for_each_section(tmp_path: Path) -> None:
    lengths_s = {"a": 1, "b": 2, "c": 630, "e": 3}
    for name, seconds in lengths_s.items():
        (tmp_path / f"{name}.flac").write_bytes(encode(np.zeros(seconds * SAMPLE_RATE, np.int16)))
    (tmp_path / "d.flac").write_text("Dear diary")
    calls = list[list[float]]()

    def transcribe_all(recordings: Sequence[Pcm], options: DecodingOptions) -> list[Transcript]:
        calls.append([duration_s(pcm) for pcm in recordings])
        return [Transcript((), "en", duration_s(pcm)) for pcm in recordings]

    batches = FileBatches(transcribe_all, DecodingOptions())
    found = [(f.path.stem, t) for f, t in batches.transcripts(input_files([tmp_path]))]

    assert [name for name, _ in found] == ["a", "b", "c", "d", "e"]
    assert {n: t.duration_s for n, t in found if isinstance(t, Transcript)} == lengths_s
    assert [n for n, t in found if isinstance(t, AudioError)] == ["d"]
    assert [len(call) for call in calls] == [1, 1, 2, 1]
    assert sum(calls[0] + calls[1]) == 630
