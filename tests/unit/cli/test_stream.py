import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.unit.client.scripted import ScriptedService, ScriptedSession, serving, spoken
from typer.testing import CliRunner, Result

from voxray.audio import encode
from voxray.cli import app
from voxray.wire import Close, Error

NUMBERS = [0, 1, 2, 3, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0]
SPOKEN = ["w1 w2 w3", "w4 w5"]


@contextmanager
def served(service: ScriptedService) -> Iterator[ScriptedService]:
    """`service` in a thread, while the command has this one."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving(service):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with served(ScriptedService()) as there:
        yield there


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    file = tmp_path / "talk.flac"
    file.write_bytes(encode(np.frombuffer(spoken(NUMBERS), dtype=np.int16)))
    return file


def voxray(*words: object) -> Result:
    return CliRunner().invoke(app, ["stream", *map(str, words)])


@pytest.mark.parametrize("pace", [[], ["--fast"]])
def test_finals_are_lines(pace: list[str], service: ScriptedService, talk: Path) -> None:
    result = voxray(talk, "--url", service.url, *pace)

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == SPOKEN
    assert result.stderr == ""


def test_json_holds_word_times(service: ScriptedService, talk: Path) -> None:
    result = voxray(talk, "--url", service.url, "--fast", "--format", "json", "--words")
    lines = [json.loads(line) for line in result.stdout.splitlines()]

    assert [line["text"] for line in lines] == SPOKEN
    assert [w["text"] for w in lines[0]["words"]] == ["w1", "w2", "w3"]


def test_captions_go_to_a_file_that_is_not_overwritten(
    service: ScriptedService, talk: Path, tmp_path: Path
) -> None:
    words = (talk, "--url", service.url, "--fast", "--format", "srt", "--output", tmp_path / "talk.srt")
    first, second = voxray(*words), voxray(*words)

    assert (first.exit_code, second.exit_code) == (0, 1)
    assert (tmp_path / "talk.srt").read_text().startswith("1\n00:00:00,001 --> 00:00:00,004\nw1 w2 w3\n\n2\n")
    assert "expected no such file yet" in second.stderr
    assert voxray(*words, "--overwrite").exit_code == 0


def test_what_is_asked_for_reaches_the_server(service: ScriptedService, talk: Path) -> None:
    asked = ("--language", "de", "--prompt", "Hallo.", "--hotwords", "Voxray")
    result = CliRunner().invoke(
        app, ["stream", str(talk), "--url", service.url, *asked], env={"VOXRAY_API_KEY": "secret"}
    )

    (start,) = service.server.starts
    assert result.exit_code == 0
    assert (start.language, start.prompt, start.hotwords) == ("de", "Hallo.", "Voxray")
    assert start.api_key == "secret"


def test_a_lost_connection_is_reported(talk: Path) -> None:
    with served(ScriptedService(drop_after=[100])) as service:
        result = voxray(talk, "--url", service.url, "--fast")

    assert result.stdout.splitlines() == SPOKEN
    lost, again = result.stderr.splitlines()
    assert lost.startswith("connection lost (")
    assert again == "connected again"


def fails(result: Result, message: str) -> None:
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_server_that_is_not_there(talk: Path) -> None:
    fails(voxray(talk, "--url", "ws://127.0.0.1:1"), "start one with `make serve`.")


def test_a_wrong_key(service: ScriptedService, talk: Path) -> None:
    service.refuse = [(Close.NOT_ALLOWED, Error("not_allowed", "expected a key that is known."))]

    fails(voxray(talk, "--url", service.url), "expected a key that is known.")


def test_a_file_that_is_not_audio(tmp_path: Path) -> None:
    (tmp_path / "diary.wav").write_text("Dear diary")

    fails(voxray(tmp_path / "diary.wav"), "diary.wav: expected audio")


def test_one_source_is_needed(talk: Path) -> None:
    fails(voxray("--mic", "--fast"), "expected --fast with a FILE")
    fails(voxray(), "expected a FILE or --mic")
    fails(voxray(talk, "--mic"), "expected a FILE or --mic")


def recorder(folder: Path, script: str) -> dict[str, str]:
    """An environment whose only recorder does `script`."""
    program = folder / "arecord"
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)
    return {**os.environ, "PATH": str(folder)}


def test_no_recorder_is_reported_with_what_to_do(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["stream", "--mic"], env={"PATH": str(tmp_path)})

    fails(result, "pip install 'voxray[mic]'")


def test_a_recorder_that_ends_gives_its_words_and_its_reason(
    service: ScriptedService, tmp_path: Path
) -> None:
    script = f"import sys; sys.stdout.buffer.write({spoken(NUMBERS)!r}); sys.exit('no device')"
    result = CliRunner().invoke(
        app, ["stream", "--mic", "--url", service.url], env=recorder(tmp_path, script)
    )

    fails(result, "expected arecord to go on recording, got its end (no device).")
    assert result.stdout.splitlines() == SPOKEN


def test_where_no_server_answers_no_file_is_touched(talk: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("What was said before.")
    for output in (old, new):
        fails(voxray(talk, "--url", "ws://127.0.0.1:1", "--output", output, "--overwrite"), "got no answer")

    assert old.read_text() == "What was said before."
    assert sorted(f.name for f in tmp_path.iterdir()) == ["old.txt", "talk.flac"]


def test_what_was_decoded_before_a_failure_is_kept(service: ScriptedService, tmp_path: Path) -> None:
    script = f"import sys; sys.stdout.buffer.write({spoken(NUMBERS)!r}); sys.exit('no device')"
    output = tmp_path / "kept.txt"
    output.write_text("What was said before.")
    words = ["stream", "--mic", "--url", service.url, "--output", str(output), "--overwrite"]
    fails(CliRunner().invoke(app, words, env=recorder(tmp_path, script)), "got its end (no device)")

    assert output.read_text().splitlines() == SPOKEN
    assert sorted(f.name for f in tmp_path.iterdir()) == ["arecord", "kept.txt"]


def test_links_and_devices_stay_what_they_are(service: ScriptedService, talk: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.txt"
    (tmp_path / "real.txt").write_text("")
    link.symlink_to("real.txt")
    for output in (link, Path("/dev/null")):
        result = voxray(talk, "--url", service.url, "--fast", "--output", output, "--overwrite")
        assert result.exit_code == 0, result.output

    assert link.is_symlink()
    assert (tmp_path / "real.txt").read_text().splitlines() == SPOKEN
    assert Path("/dev/null").is_char_device()


def test_a_folder_is_no_file(talk: Path, tmp_path: Path) -> None:
    fails(voxray(talk, "--output", tmp_path, "--overwrite"), "expected a place that can be written")
    fails(voxray(talk, "--output", tmp_path / "no" / "a.txt"), "expected a place that can be written")


def _sessions(service: ScriptedService) -> list[ScriptedSession]:
    return list(service.server.sessions.values())


def _until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.01)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_waits_for_the_last_words_and_a_second_one_does_not(times: int, tmp_path: Path) -> None:
    script = (
        f"import sys, time; sys.stdout.buffer.write({spoken([1, 2, 3])!r}); "
        "sys.stdout.buffer.flush(); time.sleep(60)"
    )
    command = [sys.executable, "-c", "from voxray.cli import app; app()", "stream", "--mic", "--url"]
    with (
        served(ScriptedService(speed=0 if times == 2 else 400)) as service,
        subprocess.Popen(
            [*command, service.url],
            env=recorder(tmp_path, script),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        _until(lambda: any(s.received == len(spoken([1, 2, 3])) for s in _sessions(service)))
        process.send_signal(signal.SIGINT)
        if times == 2:
            _until(lambda: any(s.marks for s in _sessions(service)))
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (out, process.returncode) == (("w1 w2 w3\n", 0) if times == 1 else ("", 130)), err
    assert err == ""
