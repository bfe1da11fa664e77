"""The service as `make serve` starts it: Ray and all, in processes that can be killed."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
from tests.small_model import SMALL_MODEL_INT8

START_S = 180.0
END_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Launched:
    """A running service and the process that started it."""

    port: int
    process: psutil.Process
    log: Path
    orders: IO[str]

    def order(self, line: str) -> None:
        """Write a line to its stdin."""
        print(line, file=self.orders, flush=True)

    @property
    def http(self) -> str:
        """Where pages and files go."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where streams go."""
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    def processes(self, name: str) -> list[psutil.Process]:
        """Those of its processes whose command line contains `name`, the busiest first."""
        found = [p for p in self.process.children(recursive=True) if name in _command(p)]
        return sorted(found, key=_cpu_s, reverse=True)

    def answers(self) -> bool:
        """Whether a request is served."""
        try:
            with urllib.request.urlopen(f"{self.http}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextlib.contextmanager
def launched(log: Path, *words: str, module: str = "voxray.serving.ray.launch") -> Iterator[Launched]:
    """The service on a free port while the block runs, started by `module`; its output goes to `log`."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        module,
        str(ROOT / "serve" / "local.yaml"),
        f"port={port}",
        f"model={SMALL_MODEL_INT8}",
        *words,
    ]
    with log.open("w") as out:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    assert child.stdin
    service = Launched(port, psutil.Process(child.pid), log, child.stdin)
    started = service.process.children
    try:
        wait_until(lambda: child.poll() is not None or "Voxray serves" in log.read_text(), START_S)
        assert child.poll() is None, log.read_text()
        yield service
    finally:
        everything = started(recursive=True) if child.poll() is None else []
        child.terminate()
        child.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(END_S)
        child.kill()
        _, left = psutil.wait_procs(everything, timeout=END_S)
        for process in left:
            process.kill()
    assert not left, f"expected all that was started to end with it, and {left} were left."


def wait_until(condition: Callable[[], object], limit_s: float) -> None:
    """Return as soon as `condition` holds; AssertionError after `limit_s`."""
    until_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until_s, f"{condition} did not hold within {limit_s:g} s"
        time.sleep(0.05)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _cpu_s(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
