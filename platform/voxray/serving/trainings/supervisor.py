"""The process of a training: started, watched, and ended with everything under it.

A supervisor runs in a process of its own (`serving/ray/trainings.py`), as it must outlive gateways. The job
itself is a child of that, `python -m voxray.recipes.training`, because it needs torch and a Ray of its own:
what a training starts is then never in the way of the service's actors, and ends with the child.
"""

import asyncio
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import voxray
from voxray.errors import ConfigError, ServiceError
from voxray.serving.settings import TrainingSettings
from voxray.serving.trainings.states import MAX_ATTEMPTS, TrainingRequest, TrainingStatus
from voxray.serving.trainings.store import TrainingFolder

log = logging.getLogger(__name__)

CHECK_S = 120.0  # for the imports of a busy machine
POLL_S = 0.3
TERM_S = 15.0  # from SIGTERM to SIGKILL: Ray then removes its temporary folder
JOB = (sys.executable, "-m", "voxray.recipes.training")


def supervise(folder: TrainingFolder, settings: TrainingSettings, job: Sequence[str] = JOB) -> None:
    """Run the job of a training to its end, and write its states; return at once if it has ended.

    A job whose process was killed together with its supervisor, or ends with EX_TEMPFAIL, goes on from its
    last checkpoint, with at most `MAX_ATTEMPTS` processes. When the training is cancelled, or its folder
    deleted, the process is ended.
    """
    with suppress(FileNotFoundError):
        state = folder.state
        if state.status.final:
            return folder.write_state(state)
        if state.attempts >= MAX_ATTEMPTS:
            killed = f"expected the training to end, got its process killed {state.attempts} times."
            return folder.write_state(state.ended(TrainingStatus.FAILED, time.time(), killed))
        state = state.started(time.time())
        folder.write_state(state)
        until = (state.started_at or 0) + 3600 * settings.hours
        status = _run(folder, settings, until, job)
        if status == os.EX_TEMPFAIL and state.attempts < MAX_ATTEMPTS:
            return supervise(folder, settings, job)
        error = _error(folder, status)
        if time.time() > until:
            error = f"expected the training to take at most {settings.hours:g} hours, got a longer one."
        end = TrainingStatus.FAILED if error else TrainingStatus.SUCCEEDED
        folder.write_state((folder.state if folder.is_cancelled else state).ended(end, time.time(), error))


def _run(folder: TrainingFolder, settings: TrainingSettings, until: float, job: Sequence[str]) -> int:
    """Run the job's process; return its exit status. It is ended when `until` has passed."""
    command = [*job, "run", str(folder.path), settings.model_dump_json()]
    (folder.path / "error").unlink(missing_ok=True)  # of a try before
    with folder.log.open("ab") as output:
        # Its end of the pipe closes with this process, however that ends, and so ends the child.
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=child_environment(os.environ, gpus=settings.gpus),
            start_new_session=True,
        )
    try:
        while child.poll() is None:
            if folder.is_cancelled or not folder.path.exists() or time.time() > until:
                _end(child)
            with suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)
        return child.returncode
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        if child.stdin:
            child.stdin.close()


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(TERM_S)
    child.kill()


def _error(folder: TrainingFolder, status: int) -> str | None:
    """Return why the job failed, in a sentence, or None."""
    if status == 0:
        return None
    if sentence := folder.line("error"):
        return sentence
    if status < 0:
        name = signal.Signals(-status).name
        return f"expected the job to end by itself, got {name}; it may have used too much memory."
    return f"expected the job to succeed, got exit status {status} by a fault of its own; its log says more."


def child_environment(environ: Mapping[str, str], *, gpus: float) -> dict[str, str]:
    """Return a job's environment: this package first on its path, nothing of this process's Ray, no keys.

    Ray listens on all interfaces: the token, which only this job knows, keeps others from running code in it.
    Without `gpus` it sees none, as they were given to others.
    """
    kept = {k: v for k, v in environ.items() if not k.startswith(("RAY_", "VOXRAY_"))}
    path = os.pathsep.join(filter(None, [str(Path(voxray.__file__).parents[1]), environ.get("PYTHONPATH")]))
    ray = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    return {**kept, **ray, "PYTHONPATH": path, **({} if gpus else {"CUDA_VISIBLE_DEVICES": ""})}


async def check(request: TrainingRequest, settings: TrainingSettings) -> None:
    """Check a request against the job's own configuration, in a process that may import torch.

    Raises ConfigError with its sentence, and ServiceError where there is no answer. Without keys nothing is
    checked: it takes seconds of a core.
    """
    if not request.keys:
        return
    try:
        async with asyncio.timeout(CHECK_S):
            answer = await _answer(request, settings)
    except TimeoutError:
        answer = b""
    if not answer:
        raise ServiceError(
            "expected to check the keys of this training, got a fault of the server; its log says more."
        )
    if sentence := json.loads(answer):
        raise ConfigError(sentence)


async def _answer(request: TrainingRequest, settings: TrainingSettings) -> bytes:
    """Return what the child says, nothing where it fails."""
    child = await asyncio.create_subprocess_exec(
        *(*JOB, "check", settings.model_dump_json()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(os.environ, gpus=0),
    )
    try:
        answer, errors = await child.communicate(request.model_dump_json().encode())
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode != 0:
        log.error("the keys of a training cannot be checked: %s", errors.decode(errors="replace"))
    return answer
