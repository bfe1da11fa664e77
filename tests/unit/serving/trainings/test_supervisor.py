"""Supervisors of jobs that are a line of Python."""

import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from tests.service.launched import wait_until
from tests.unit.serving.trainings.test_store import made

from voxray.serving.settings import TrainingSettings
from voxray.serving.trainings.states import MAX_ATTEMPTS, TrainingStatus
from voxray.serving.trainings.store import TrainingFolder, TrainingStore
from voxray.serving.trainings.supervisor import child_environment, supervise

FOREVER = "import sys, subprocess; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    return made(TrainingStore(tmp_path))


def run(folder: TrainingFolder, source: str, **settings: float) -> None:
    supervise(folder, TrainingSettings.model_validate(settings), (sys.executable, "-c", source))


def processes(folder: TrainingFolder) -> list[psutil.Process]:
    """The job of `folder`, and what that started."""
    jobs = [p for p in psutil.Process().children() if str(folder.path) in p.cmdline()]
    return [p for job in jobs for p in (job, *job.children(recursive=True))]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("pass", None),
        ("import sys; open(sys.argv[2] + '/error', 'w').write('a sentence.'); sys.exit(1)", "a sentence."),
        ("1/0", "expected the job to succeed, got exit status 1 by a fault of its own; its log says more."),
        (
            "import os; os.kill(os.getpid(), 9)",
            "expected the job to end by itself, got SIGKILL; it may have used too much memory.",
        ),
    ],
)
def test_the_end_of_the_job_is_the_end_of_the_training(
    source: str, error: str | None, folder: TrainingFolder
) -> None:
    run(folder, source)

    state = folder.state
    assert state.status is (TrainingStatus.FAILED if error else TrainingStatus.SUCCEEDED)
    assert state.error == error
    assert state.started_at
    assert state.ended_at
    assert state.started_at <= state.ended_at


@pytest.mark.parametrize("failures", [1, MAX_ATTEMPTS])
def test_a_job_that_could_not_begin_is_tried_again(failures: int, folder: TrainingFolder) -> None:
    run(
        folder,
        f"""
import os, pathlib, sys
tries = pathlib.Path(sys.argv[2], "tries")
tries.write_text(tries.read_text() + "." if tries.exists() else ".")
pathlib.Path(sys.argv[2], "error").write_text("too busy.")
sys.exit(os.EX_TEMPFAIL if len(tries.read_text()) <= {failures} else 0)
""",
    )

    given_up = failures == MAX_ATTEMPTS
    assert folder.state.status is (TrainingStatus.FAILED if given_up else TrainingStatus.SUCCEEDED)
    assert folder.state.error == ("too busy." if given_up else None)
    assert folder.state.attempts == min(failures + 1, MAX_ATTEMPTS)


def test_what_a_try_before_has_said_is_not_told_of_another(folder: TrainingFolder) -> None:
    run(
        folder,
        """
import os, pathlib, sys
tried = pathlib.Path(sys.argv[2], "tried")
if tried.exists():
    os.kill(os.getpid(), 9)
tried.touch()
pathlib.Path(sys.argv[2], "error").write_text("too busy.")
sys.exit(os.EX_TEMPFAIL)
""",
    )

    assert "got SIGKILL" in (folder.state.error or "")


def test_a_traceback_is_in_the_log(folder: TrainingFolder) -> None:
    run(folder, "1/0")

    assert "ZeroDivisionError" in folder.log.read_text()


@pytest.mark.parametrize("deleted", [False, True])
def test_a_training_that_is_cancelled_or_deleted_ends_with_all_its_processes(
    deleted: bool, folder: TrainingFolder
) -> None:
    thread = threading.Thread(target=run, args=(folder, FOREVER))
    thread.start()
    wait_until(lambda: len(processes(folder)) == 2, 30)
    everything = processes(folder)

    if deleted:
        TrainingStore(folder.path.parent).delete(folder)
    else:
        folder.cancel()

    thread.join(30)
    assert not thread.is_alive()
    _, left = psutil.wait_procs(everything, timeout=10)
    assert not left
    assert deleted or folder.written_state.status is TrainingStatus.CANCELLED


def test_a_training_that_takes_too_long_fails(folder: TrainingFolder) -> None:
    run(folder, FOREVER, hours=0.5 / 3600)

    assert folder.state.error == "expected the training to take at most 0.000138889 hours, got a longer one."


def test_a_cancelled_training_is_not_begun(folder: TrainingFolder) -> None:
    folder.cancel()

    run(folder, "1/0")

    assert folder.written_state.status is TrainingStatus.CANCELLED
    assert not folder.log.exists()


def test_a_training_that_kills_its_supervisor_is_not_begun_for_ever(folder: TrainingFolder) -> None:
    state = folder.state
    for _ in range(MAX_ATTEMPTS):
        state = state.started(time.time())
    folder.write_state(state)

    run(folder, "pass")

    assert folder.state.error == "expected the training to end, got its process killed 3 times."


def test_a_job_has_a_ray_of_its_own_with_a_token_that_nobody_knows() -> None:
    environ = {
        "RAY_ADDRESS": "auto",
        "RAY_AUTH_TOKEN": "t",
        "VOXRAY_API_KEYS": "k",
        "HOME": "/root",
        "CUDA_VISIBLE_DEVICES": "0",
    }

    child = child_environment(environ, gpus=0)

    assert {k: child[k] for k in ("HOME", "CUDA_VISIBLE_DEVICES", "RAY_AUTH_MODE")} == {
        "HOME": "/root",
        "CUDA_VISIBLE_DEVICES": "",
        "RAY_AUTH_MODE": "token",
    }
    assert not {"RAY_ADDRESS", "VOXRAY_API_KEYS"} & set(child)
    assert len(child["RAY_AUTH_TOKEN"]) == 64
    assert child_environment(environ, gpus=1)["CUDA_VISIBLE_DEVICES"] == "0"
