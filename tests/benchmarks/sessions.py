"""Thousands of sessions at once: what gateways, buffer actors, directory and proxy cost.

    python -m tests.benchmarks.sessions --clients 100                                  in real time
    python -m tests.benchmarks.sessions --clients 2000 --frame-ms 1000 --slowness 10   1 s of audio every 10 s

speech -> N clients -> the proxy, gateways, directory and buffer actors <-> a transcriber that makes up words

Silero's voice activity detection alone costs about 2 ms of CPU per second of audio: two cores cannot serve
2,000 microphones in real time. `--slowness` makes frames rarer, not longer; all else (sockets, sessions,
ticks, placement, memory) is as with so many microphones. Words after the options are the service's own.
"""

import argparse
import contextlib
import json
import math
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from tests.benchmarks.client_scores import Spread
from tests.benchmarks.live import LOCAL, free_port
from tests.benchmarks.load import ClientRecord, Plan, carry_out
from tests.benchmarks.playing import Part, Played
from tests.benchmarks.recordings import of_kind
from tests.benchmarks.usage import GROUPS, Group, Meter, Reading, between

from voxray.audio import SAMPLE_RATE
from voxray.cluster import ENVIRONMENT, local_cluster
from voxray.serving.ray.launch import APP, HAPROXY, Address, read, wait_for_proxy
from voxray.serving.settings import ServiceArgs
from voxray.wire import PATH, Final, Partial, Start

TAIL_S = 30.0  # for the last finals
SETTLED = 0.25  # of the time, after which usage is measured
CONNECTIONS = 800  # that one gateway may have; three quarters of them are meant to come


@dataclass(frozen=True, slots=True)
class Stretch(Part):
    """A stretch of the recording as it is, from a place that `seed` chooses."""

    def played(self) -> Played:
        """Return the audio, for which nothing is scored."""
        length = round(self.seconds * SAMPLE_RATE)
        first = int(np.random.default_rng(self.seed).integers(len(self.recording.pcm) - length))
        return Played(self.recording.pcm[first : first + length], ())


@dataclass(frozen=True, slots=True)
class Cost:
    """What a group of processes used. `mb_per_session` is by how much its memory has grown."""

    processes: int
    cores: float
    busiest: float
    ms_per_session_s: float
    mb: float
    mb_per_session: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured. `partial` is from a frame to the partial of the words that end in it, in seconds."""

    clients: int
    served: int
    errors: tuple[str, ...]
    seconds: float
    frame_s: float
    slowness: float
    opening: Spread
    partial: Spread
    late: Spread
    finals: int
    costs: Mapping[Group, Cost]


def main(words: Sequence[str]) -> int:
    """Measure what the words say; the exit status is 1 where a session was not served to its end."""
    options = _parser().parse_intermixed_args(words)
    gateways = math.ceil(options.clients / (0.75 * CONNECTIONS))
    address, args = read(
        [
            str(LOCAL),
            f"port={free_port()}",
            f"gateway.min={gateways}",
            f"gateway.max={gateways}",
            "gateway.cpus=0.1",
            f"connections_per_gateway={CONNECTIONS}",
            f"limits.sessions={options.clients + 8}",
            "limits.sessions_per_actor=256",
            *options.service,
        ]
    )
    with _started(address, args):
        outcome = _measured(options, f"ws://{address.host}:{address.port}{PATH}")
    _show(outcome)
    line = json.dumps(asdict(outcome))
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    print(line)
    return 0 if outcome.served == outcome.clients else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sessions.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("service", nargs="*", metavar="key=value", help="for the service")
    add("--clients", type=int, default=2000)
    add("--seconds", type=float, default=40.0, help="that they play")
    add("--frame-ms", type=int, default=100)
    add("--slowness", type=float, default=1.0, help="seconds for a second of audio")
    add("--processes", type=int, default=2, help="that the clients are spread over")
    add("--json", type=Path, metavar="FILE", help="write the line of JSON there too")
    return parser


@contextlib.contextmanager
def _started(address: Address, args: ServiceArgs) -> Iterator[None]:
    """As `serving.ray.launch.started`, with the scripted transcriber."""
    os.environ.update(ENVIRONMENT | HAPROXY)
    os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    with local_cluster():
        import ray
        from ray import serve
        from tests.benchmarks import scripted_transcriber

        by_value = ray.cloudpickle.register_pickle_by_value  # no worker finds `tests`
        by_value(scripted_transcriber)  # type: ignore[no-untyped-call]  # Ray gives it no types
        serve.start(http_options={"host": address.host, "port": address.port})
        serve.run(scripted_transcriber.build(args), name=APP, route_prefix="/")
        wait_for_proxy(address)
        yield


def _plans(options: argparse.Namespace, url: str) -> list[Plan]:
    """Speech from a place of its own for each client; they begin within a frame."""
    (recording, *_) = of_kind("clips")
    apart_s = options.frame_ms / 1000 * options.slowness / options.clients
    length_s = options.seconds / options.slowness
    parts = tuple(Stretch(recording, length_s, i, i * apart_s) for i in range(options.clients))
    start, step = Start(language="en"), min(options.processes, options.clients)
    return [Plan(url, parts[i::step], start, options.frame_ms, TAIL_S, options.slowness) for i in range(step)]


def _measured(options: argparse.Namespace, url: str) -> Outcome:
    clients, seconds, plans = options.clients, options.seconds, _plans(options, url)
    meter = Meter(own=True)
    idle = meter.read((), memory=True)

    def measure_load(at_s: float, load: list[int]) -> tuple[Reading, Reading]:
        print(f"{clients} clients begin to speak", file=sys.stderr, flush=True)
        time.sleep(max(0.0, at_s + SETTLED * seconds - time.monotonic()))
        before = meter.read(load)
        time.sleep(max(0.0, at_s + seconds - time.monotonic()))
        return before, meter.read(load, memory=True)

    records, (before, after) = carry_out(plans, measure_load)
    frame_s, slowness = options.frame_ms / 1000, options.slowness
    finals = [m for r in records for m in r.arrivals() if isinstance(m.message, Final)]
    return Outcome(
        clients=clients,
        served=sum(r.error is None for r in records),
        errors=tuple(sorted({r.error for r in records if r.error}))[:5],
        seconds=seconds,
        frame_s=frame_s,
        slowness=slowness,
        opening=Spread.of([r.open_s for r in records]),
        partial=Spread.of([s for r in records for s in _partials_s(r, frame_s, slowness)]),
        late=Spread.of([s for r in records for s in r.late_s]),
        finals=len(finals),
        costs={group: _cost(group, idle, before, after, clients) for group in GROUPS},
    )


def _partials_s(record: ClientRecord, frame_s: float, slowness: float) -> list[float]:
    """Seconds from the frame in which the words of a partial end to that partial."""
    partials = [(a.at_s, a.message) for a in record.arrivals() if isinstance(a.message, Partial)]
    numbered = [(at_s, math.ceil(partial.end_s / frame_s)) for at_s, partial in partials]
    sent_s = [n * frame_s * slowness + late_s for n, late_s in enumerate(record.late_s, start=1)]
    return [at_s - sent_s[n - 1] for at_s, n in numbered if n <= len(sent_s)]


def _cost(group: Group, idle: Reading, before: Reading, after: Reading, clients: int) -> Cost:
    usage, seconds = between(before, after), after.at_s - before.at_s
    used = {
        pid: (p.cpu_s - before.processes[pid].cpu_s) / seconds
        for pid, p in after.processes.items()
        if p.group == group and pid in before.processes
    }
    cores, mb = usage.cpu.get(group, 0.0), usage.uss_mb.get(group, 0.0)
    grown_mb = mb - idle.uss_mb().get(group, 0.0)
    return Cost(
        len(used), cores, max(used.values(), default=0.0), 1000 * cores / clients, mb, grown_mb / clients
    )


def _show(outcome: Outcome) -> None:
    """The tables, on stderr."""
    console = Console(stderr=True, width=120)
    o = outcome
    console.print(f"{o.served} of {o.clients} sessions served to their end, {o.finals} finals")
    for name, spread in (
        ("opened", o.opening),
        ("partial after its frame", o.partial),
        ("frames late", o.late),
    ):
        console.print(f"{name}, s: " + ", ".join(f"{k} {v:.2f}" for k, v in asdict(spread).items() if v))
    for error in o.errors:
        console.print(error, markup=False)
    columns = ("processes", "cores", "busiest", "ms/s per session", "MB", "MB per session")
    title = f"{o.clients} sessions, {1 / o.slowness:g} s of audio a second in frames of {o.frame_s:g} s"
    table = Table("of", *columns, title=title)
    for group, cost in o.costs.items():
        rates = (f"{cost.cores:.2f}", f"{cost.busiest:.2f}", f"{cost.ms_per_session_s:.2f}")
        table.add_row(group, str(cost.processes), *rates, f"{cost.mb:.0f}", f"{cost.mb_per_session:.2f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
