import io
import json
import os
import subprocess
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8
from typer.testing import CliRunner, Result

from voxray.audio import SAMPLE_RATE, Pcm, decode, encode
from voxray.cli import app

TERMINAL = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}


def voxray(*words: object) -> Result:
    return CliRunner().invoke(app, [str(w) for w in words])


def transcribe(*words: object) -> Result:
    return voxray("transcribe", "--model", SMALL_MODEL_INT8, *words)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that the small model knows, in another codec."""
    first = min(SMALL_MODEL_CLIPS.glob("*.ogg"))
    file = tmp_path_factory.mktemp("clips") / "clip.mp3"
    file.write_bytes(encode(decode(first), "libmp3lame", "mp3"))
    return file


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    file = tmp_path / "diary.wav"
    file.write_text("Dear diary\n")
    return file


def test_text_is_a_line_per_segment(clip: Path) -> None:
    result = transcribe(clip)

    assert result.exit_code == 0
    assert len(result.stdout.strip().split()) > 1
    assert result.stderr == ""


@pytest.mark.parametrize("language", ["English", "EN-gb", "auto"])
def test_a_language_is_given_as_people_write_it(language: str, clip: Path) -> None:
    result = transcribe(clip, "--language", language)

    assert (result.exit_code, result.stderr) == (0, "")


def test_json_holds_words_with_times(clip: Path) -> None:
    found = json.loads(transcribe(clip, "--format", "json", "--words").stdout)

    assert found["language"] == "en"
    (segment,) = found["segments"]
    assert " ".join(w["text"] for w in segment["words"]) == segment["text"] == found["text"]


@pytest.mark.parametrize(("form", "start"), [("srt", "1\n00:00:0"), ("vtt", "WEBVTT\n\n00:00:0")])
def test_captions(form: str, start: str, clip: Path) -> None:
    assert transcribe(clip, "--format", form).stdout.startswith(start)


def test_a_bad_file_is_one_sentence_and_the_rest_goes_on(clip: Path, diary: Path, tmp_path: Path) -> None:
    result = transcribe(diary, clip, tmp_path / "none.flac", clip)

    assert result.exit_code == 1
    errors = result.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in errors] == [str(diary), str(tmp_path / "none.flac")]
    assert all(line.startswith("error: ") and line.endswith(".") for line in errors)
    assert result.stdout.count(f"== {clip}\n") == 2


def test_a_file_that_is_cut_off_is_transcribed_with_a_warning(clip: Path, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.wav", tmp_path / "half.wav"
    whole.write_bytes(encode(decode(clip), "pcm_s16le", "wav"))
    half.write_bytes(whole.read_bytes()[: -whole.stat().st_size // 8])

    result = transcribe(half)

    assert result.exit_code == 0
    assert result.stdout.split()[:2] == transcribe(whole).stdout.split()[:2]
    assert result.stderr.startswith(f"warning: {half}: expected ")
    assert result.stderr.endswith("the file is cut off.\n")


@pytest.fixture(scope="module")
def call(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call: on channel 2 another clip, which begins when the first is over."""
    said = decode(clip)
    other = decode(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[1])
    channels = np.zeros((2, len(said) + len(other)), dtype=np.int16)
    channels[0, : len(said)], channels[1, len(said) :] = said, other
    file = tmp_path_factory.mktemp("calls") / "call.wav"
    file.write_bytes(stereo(channels))
    return file


def stereo(channels: Pcm) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(channels.T.astype("<i2").tobytes())
    return out.getvalue()


def test_channels_are_transcribed_one_by_one(call: Path) -> None:
    found = json.loads(transcribe(call, "--multichannel", "--format", "json").stdout)
    text = transcribe(call, "--multichannel").stdout

    assert [s["channel"] for s in found["segments"]] == [1, 2]
    assert [line.split(":")[0] for line in text.splitlines()] == ["Channel 1", "Channel 2"]
    assert found["segments"][1]["start_s"] > found["segments"][0]["end_s"] - 0.5


def test_a_pipe_and_stdin_are_read_to_their_end(clip: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp3"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[clip.read_bytes()])
    writer.start()
    piped = transcribe(pipe, "--multichannel")
    writer.join()
    stdin = CliRunner().invoke(
        app, ["transcribe", "--model", str(SMALL_MODEL_INT8), "-"], input=clip.read_bytes()
    )

    assert piped.stdout == f"Channel 1: {transcribe(clip).stdout}"
    assert stdin.stdout == transcribe(clip).stdout


def test_a_track_that_is_not_there_is_named(clip: Path) -> None:
    result = transcribe(clip, "--track", 2)

    assert result.exit_code == 1
    assert "expected one of its audio tracks (1), got track 2" in result.stderr
    assert transcribe(clip, "--track", 1).stdout == transcribe(clip).stdout


def test_several_files_as_json_are_a_line_each(clip: Path) -> None:
    lines = transcribe(clip, clip, "--format", "json").stdout.splitlines()

    assert [json.loads(line)["file"] for line in lines] == [str(clip), str(clip)]


def test_captions_of_several_files_need_a_folder(clip: Path, tmp_path: Path) -> None:
    result = transcribe(clip, clip, "--format", "srt")

    assert result.exit_code == 1
    assert result.stderr == "error: expected --output DIR for srt captions of 2 files; each needs its own.\n"


def test_a_folder_gets_a_file_per_recording_and_nothing_is_overwritten(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "captions"
    words = (clip, "--format", "vtt", "--output", out)
    assert transcribe(*words).exit_code == 0
    (out / "clip.vtt").write_text("corrected by hand")

    refused = transcribe(*words)

    assert refused.exit_code == 1
    assert "clip.vtt: expected no such file yet, got one; add --overwrite." in refused.stderr
    assert (out / "clip.vtt").read_text() == "corrected by hand"
    assert transcribe(*words, "--overwrite").exit_code == 0
    assert (out / "clip.vtt").read_text().startswith("WEBVTT")


def test_a_place_that_cannot_be_written_is_named(clip: Path, diary: Path) -> None:
    result = transcribe(clip, "--output", diary)

    assert result.exit_code == 1
    assert "diary.wav" in result.stderr
    assert "expected a place that can be written" in result.stderr


def test_silence_gives_an_empty_transcript(tmp_path: Path) -> None:
    file = tmp_path / "silence.flac"
    file.write_bytes(encode(np.zeros(2 * SAMPLE_RATE, dtype=np.int16)))
    result = transcribe(file)

    assert result.exit_code == 0
    assert result.stdout.strip() == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "./nowhere"], "there is no such folder;"),
        (["--language", "klingon"], "'language': expected a language by its code or english name"),
        (["--language", "German"], "language 'de': expected 'en', the only language of "),
    ],
)
def test_a_wrong_model_or_language_is_named_once(words: list[str], message: str, clip: Path) -> None:
    result = transcribe(clip, clip, *words)

    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_wrong_command_line_exits_with_2(clip: Path) -> None:
    assert voxray("transcribe").exit_code == 2
    assert voxray("transcribe", clip, "--format", "docx").exit_code == 2


def test_a_folder_stands_for_the_recordings_in_it(clip: Path, diary: Path, tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    (folder / "monday").mkdir(parents=True)
    for name in ("b.mp3", "a.mp3", "monday/c.mp3"):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / "notes.txt").write_text("not a recording")
    diary.rename(folder / "broken.wav")

    result = transcribe(folder, "--output", tmp_path / "out")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {folder / 'broken.wav'}: expected ")
    out = tmp_path / "out"
    texts = {str(f.relative_to(out)): f.read_text() for f in out.rglob("*.txt")}
    assert set(texts) == {"a.txt", "b.txt", "monday/c.txt"}
    assert set(texts.values()) == {transcribe(clip).stdout}


def test_recordings_of_one_name_end_the_command_before_any_is_transcribed(clip: Path, tmp_path: Path) -> None:
    other = clip.with_suffix(".wav")
    other.write_bytes(encode(decode(clip), "pcm_s16le", "wav"))
    out = tmp_path / "out"
    result = transcribe(clip, other, "--output", out, "--overwrite")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {clip} and {other}: expected names that differ ")
    assert result.stderr.count("\n") == 1
    assert not out.exists()
    assert transcribe(clip, clip, "--output", out).exit_code == 0  # the same one twice


@pytest.mark.parametrize("long_form", ["sequential", "chunked"])
def test_long_form_algorithms_are_chosen_by_name(long_form: str, tmp_path: Path) -> None:
    clips = [decode(file) for file in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:8]]
    pcm = np.concatenate([part for c in clips for part in (c, np.zeros(2 * SAMPLE_RATE, np.int16))])
    file = tmp_path / "long.flac"
    file.write_bytes(encode(pcm))
    result = transcribe(file, "--long-form", long_form, "--format", "json", "--words")

    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    words = [w for s in found["segments"] for w in s["words"]]
    assert " ".join(w["text"] for w in words) == found["text"]
    times = [t for w in words for t in (w["start_s"], w["end_s"])]
    assert times == sorted(times)
    assert 30.0 < times[-1] <= found["duration_s"] == pytest.approx(len(pcm) / SAMPLE_RATE, abs=0.001)


def read_to_end(screen: io.FileIO) -> bytes:
    """What a terminal was given next; nothing once no process has it open, which Linux calls an error."""
    try:
        return screen.read(1024) or b""
    except OSError:
        return b""


def test_a_progress_bar_is_on_a_terminal_alone_and_not_in_the_text(clip: Path) -> None:
    words = ["transcribe", "--model", str(SMALL_MODEL_INT8), str(clip), str(clip)]
    command = [sys.executable, "-c", "from voxray.cli import app; app()", *words]
    master, terminal = os.openpty()
    with open(master, "rb", buffering=0) as screen:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, env=TERMINAL, text=True)
        os.close(terminal)
        shown = b"".join(iter(lambda: read_to_end(screen), b"")).decode()
        stdout, _ = process.communicate()

    piped = CliRunner().invoke(app, words, env={"FORCE_COLOR": "1"})
    assert (piped.stdout, piped.stderr) == (stdout, "")
    assert f"{2 * len(decode(clip)) / SAMPLE_RATE:.0f} s of audio" in shown


def test_a_folder_without_recordings_is_named(tmp_path: Path) -> None:
    result = transcribe(tmp_path)

    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path}: expected recordings in the folder, got none.\n"
