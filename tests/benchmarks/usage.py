"""What the service and the load cost: CPU time and memory by group of processes, and what the service counts.

Processes are told apart by their command lines, which Ray sets: `ray::ServeReplica:voxray:Gateway`,
`ray::BufferActor` and so on. Memory is USS: what a process has for itself, shared pages left out.
"""

import os
import re
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import psutil

Group = Literal["load", "gateway", "buffers", "directory", "transcriber", "proxy", "ray", "bench"]
GROUPS: tuple[Group, ...] = get_args(Group)
SERVING: tuple[Group, ...] = ("gateway", "buffers", "transcriber")
"""Where memory must not grow with the clients by more than a little."""

_TITLES: tuple[tuple[str, Group], ...] = (
    (r"ray::ServeReplica:[^:]*:Gateway", "gateway"),
    (r"ray::BufferActor", "buffers"),
    (r"ray::DirectoryActor", "directory"),
    (r"ray::ServeReplica:[^:]*:Transcriber", "transcriber"),
    (r"ray::(Proxy|HAProxy)|(\S*/)?haproxy\b", "proxy"),
    (r"ray::|(\S*/)?(raylet|gcs_server)\b|\S*python\S* .*/ray/", "ray"),
)
_COUNTER = re.compile(r"(\w+)_(total|sum|count)(\{.*\})?")
MB = 1_000_000

Stats = Mapping[str, float]
"""Figures by Prometheus' names: `_total`, `_sum` and `_count` only grow."""

StatsSource = Callable[[], Stats | None]
"""Asks a part of the service for its figures; None where it does not answer in time."""


def group_of(command: str) -> Group | None:
    """The group of the process that was started, or has titled itself, so; None: not a part of Ray."""
    return next((group for pattern, group in _TITLES if re.match(pattern, command)), None)


@dataclass(frozen=True, slots=True)
class Process:
    """One process so far: its group, its CPU seconds, and its memory where that was asked for."""

    group: Group
    cpu_s: float
    uss_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """All processes by id at one time, and the figures of each source then (None: it did not answer)."""

    at_s: float
    processes: Mapping[int, Process]
    stats: Mapping[str, Stats | None]

    def uss_mb(self) -> dict[Group, float]:
        """Memory by group, in MB; 0 where it was not asked for."""
        sums: defaultdict[Group, float] = defaultdict(float)
        for process in self.processes.values():
            sums[process.group] += process.uss_mb
        return dict(sums)


class Meter:
    """Reads the processes below this one; where the service is not its own, all of Ray's on this machine."""

    def __init__(self, *, own: bool, sources: Mapping[str, StatsSource] | None = None) -> None:
        self._own = own
        self._sources = sources or {}

    def read(self, load: Collection[int], *, memory: bool = False) -> Reading:
        """Where everything stands; `load` are the processes that play. Memory costs the others a pause."""
        now_s = time.monotonic()
        processes = dict(self._processes(load, memory))
        return Reading(now_s, processes, {name: read() for name, read in self._sources.items()})

    def _processes(self, load: Collection[int], memory: bool) -> Iterator[tuple[int, Process]]:
        me = psutil.Process()
        for process in [me, *(me.children(recursive=True) if self._own else psutil.process_iter())]:
            try:
                if group := self._group(process, load):
                    times = process.cpu_times()
                    uss = process.memory_full_info().uss / MB if memory else 0.0
                    yield process.pid, Process(group, times.user + times.system, uss)
            except psutil.Error:
                continue  # it has ended, or is another user's

    def _group(self, process: psutil.Process, load: Collection[int]) -> Group | None:
        if process.pid in load:
            return "load"
        if process.pid == os.getpid():
            return "bench"
        group = group_of(" ".join(process.cmdline()).strip())
        return group or ("bench" if self._own else None)


@dataclass(frozen=True, slots=True)
class Usage:
    """Between two readings: CPU seconds per second, memory at the end, and the service's own figures.

    `stats` has `_per_s` for each `_total` and `_count`, `_mean` for each `_sum` over its `_count`, and every
    other figure as it stands. Of the sources in `missing`, one of the readings was not answered in time.
    """

    cpu: Mapping[Group, float]
    uss_mb: Mapping[Group, float]
    stats: Stats
    missing: tuple[str, ...] = ()

    @property
    def serving_mb(self) -> float:
        """Memory of gateway, buffer actors and transcriber."""
        return sum(self.uss_mb.get(group, 0.0) for group in SERVING)


def between(before: Reading, after: Reading) -> Usage:
    """What was used from one reading to the next. A process that ended in between is not counted."""
    seconds = max(1e-9, after.at_s - before.at_s)
    cpu: defaultdict[Group, float] = defaultdict(float)
    for pid, process in after.processes.items():
        known = before.processes.get(pid)
        cpu[process.group] += (process.cpu_s - (known.cpu_s if known else 0.0)) / seconds
    stats: dict[str, float] = {}
    missing: list[str] = []
    for source, figures in after.stats.items():
        earlier = before.stats.get(source)
        if figures is None or earlier is None:
            missing.append(source)
        else:
            stats |= _figures(earlier, figures, seconds)
    return Usage(dict(cpu), after.uss_mb(), stats, tuple(missing))


def _figures(before: Stats, after: Stats, seconds: float) -> Iterator[tuple[str, float]]:
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    for name, value in after.items():
        counter = _COUNTER.fullmatch(name)
        plain, kind, label = counter.groups("") if counter else (name, "", "")
        if kind == "sum":
            if count := grown.get(f"{plain}_count{label}"):
                yield f"{plain}_mean{label}", grown[name] / count
        elif kind:
            yield f"{plain}_per_s{label}", grown[name] / seconds
        else:
            yield name, value


def metrics_of(url: str) -> StatsSource:
    """Return the source that reads the Prometheus page at `url`."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read() -> Stats | None:
        try:
            with opener.open(url, timeout=5.0) as answer:
                return dict(parse_metrics(answer.read().decode()))
        except (OSError, ValueError):  # URLError and TimeoutError are OSErrors
            return None

    return read


def parse_metrics(text: str) -> Iterator[tuple[str, float]]:
    """The service's own names, with their labels, and values of Prometheus' text format; no buckets."""
    for name, value in re.findall(r"^(voxray_\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE):
        if not name.partition("{")[0].endswith("_bucket"):
            yield name, float(value)
