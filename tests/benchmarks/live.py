"""Live clients in real time: how late words come, how right they are, and what it costs.

    make bench-live                                              the service by itself, every recording
    make bench-live BENCH="--recording prompts --clients 1,32 --compare"
    make bench-live BENCH="--clients 16 limits.sessions_per_actor=1 haproxy=off"
    python -m tests.benchmarks.live --url ws://127.0.0.1:8000 --wav X.flac --tsv X.tsv
    python -m tests.benchmarks.live --soak 30

recordings -> N clients, each from its own place, with noise -> the service -> tables, and a line of JSON

Without --clients N doubles until the 95th percentile of the latency to committed words passes --limit-s. A
latency is the arrival of an utterance's last word in `stable` or in a `final`, minus its acoustic end.
Words after the options are the service's own, as serve/local.yaml has them. Read `sent late` first: where
frames left late, the load has measured itself.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit, urlunsplit

from tests.benchmarks import report
from tests.benchmarks.comparing import Offline
from tests.benchmarks.measuring import Compare, Conditions, Row, doubling, measure, parts, warm_up
from tests.benchmarks.playing import NOISE_DBFS
from tests.benchmarks.recordings import DIGITS, LIVE, Kind, Recording, of_kind, read
from tests.benchmarks.soaking import soak
from tests.benchmarks.usage import Meter, StatsSource, metrics_of

from voxray.errors import ConfigError, VoxrayError
from voxray.wire import PATH, Start

LOCAL = Path(__file__).resolve().parents[2] / "serve" / "local.yaml"


def main(words: Sequence[str]) -> int:
    """Measure what the words say; the exit status."""
    options = _parser().parse_intermixed_args(words)
    try:
        sets = _recordings(options)
        with _service(options) as url:
            result = _measured(options, sets, url)
        line = json.dumps(result)
        if options.json:
            options.json.write_text(line + "\n", encoding="utf-8")
        print(line)
        return 0
    except VoxrayError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="live.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("service", nargs="*", metavar="key=value", help="for the service that is started")
    add("--url", help="of a running service; without it one is started")
    add("--serve", type=Path, default=LOCAL, help="what the service that is started is told")
    add("--clients", type=_numbers, help="as 1,2,4; else doubling until it is too slow")
    add("--limit-s", type=float, default=1.0, help="p95 to committed words that ends the doubling")
    add("--seconds", type=float, default=60.0, help="that each client plays")
    add("--warm-up", type=float, default=6.0, metavar="SECONDS", help="that one client plays first")
    add("--soak", type=float, metavar="MINUTES", help="one client for so long, memory and lag sampled")
    add("--recording", choices=(*get_args(Kind), "all"), default="all")
    add("--wav", type=Path, action="append", default=[], help="any audio, instead; each with its --tsv")
    add("--tsv", type=Path, action="append", default=[], help="start_s, end_s, text per line")
    add("--digits", type=Path, default=Path(os.environ.get("VOXRAY_DIGITS", DIGITS)), help="their folder")
    add("--noise-dbfs", type=float, default=NOISE_DBFS)
    add("--seed", type=int, default=0, help="of the places in the recordings, and of the noise")
    add("--frame-ms", type=int, default=100)
    add("--endpoint-ms", type=int, default=600)
    add("--language", default="en", help="an empty one is detected")
    add("--processes", type=int, default=1, help="that the clients are spread over")
    add("--compare", action="store_true", help="the same audio through voxray.transcribe too")
    add("--model", default="tiny.en", help="for --compare")
    add("--json", type=Path, metavar="FILE", help="write the line of JSON there too")
    return parser


def _numbers(text: str) -> list[int]:
    numbers = [int(word) for word in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected numbers from 1 on, as 1,2,4, got {text}")
    return numbers


def _recordings(options: argparse.Namespace) -> Mapping[str, tuple[Recording, ...]]:
    """The sets that are measured one after another, by name."""
    if len(options.wav) != len(options.tsv):
        raise ConfigError(f"expected a --tsv for each --wav, got {len(options.tsv)}.")
    if options.wav:
        return {"files": tuple(read(w, t) for w, t in zip(options.wav, options.tsv, strict=True))}
    kinds: Sequence[Kind] = get_args(Kind) if options.recording == "all" else [options.recording]
    found = {kind: of_kind(kind, options.digits) for kind in kinds}
    if not any(found.values()):
        raise ConfigError(
            f"expected {options.recording} recordings in {options.digits} or {LIVE}, got none; see --digits."
        )
    return {kind: recordings for kind, recordings in found.items() if recordings}


@contextlib.contextmanager
def _service(options: argparse.Namespace) -> Iterator[str]:
    """The URL of the service that runs, or of one that does while the block runs."""
    if options.url:
        if options.service:
            raise ConfigError(f"expected no words for a running service, got {options.service[0]}.")
        parts = urlsplit(options.url)
        yield urlunsplit(parts._replace(path=PATH if parts.path in ("", "/") else parts.path))
        return
    from voxray.serving.ray.launch import read, started

    address, args = read([str(options.serve), f"port={free_port()}", *options.service])
    _say(f"starting the service on port {address.port}")
    with started(address, args):
        yield f"ws://{address.host}:{address.port}{PATH}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _measured(
    options: argparse.Namespace, sets: Mapping[str, tuple[Recording, ...]], url: str
) -> dict[str, Any]:
    conditions = Conditions(
        url=url,
        start=Start(language=options.language or None, endpoint_ms=options.endpoint_ms),
        seconds=options.soak * 60 if options.soak else options.seconds,
        frame_ms=options.frame_ms,
        noise_dbfs=options.noise_dbfs,
        seed=options.seed,
        processes=options.processes,
    )
    meter = Meter(own=not options.url, sources=_sources(options, url))
    warm_up(next(iter(sets.values())), conditions, options.warm_up)
    if options.soak:
        soaked = soak(next(iter(sets.values())), conditions, meter)
        report.show_soak(soaked)
        return {"soak": report.soak_as_json(soaked)}
    compare = Offline(options.model, options.language or None) if options.compare else None
    rows: list[Row] = []
    for kind, recordings in sets.items():
        swept = list(_sweep(options, kind, recordings, conditions, meter, compare))
        report.show(swept)
        rows += swept
    return {"rows": [report.as_json(row) for row in rows]}


def _sweep(
    options: argparse.Namespace,
    kind: str,
    recordings: Sequence[Recording],
    conditions: Conditions,
    meter: Meter,
    compare: Compare | None,
) -> Iterator[Row]:
    """A row per number of clients; where none are given, until words come too late."""
    for clients in options.clients or doubling():
        row = measure(kind, parts(recordings, clients, conditions), conditions, meter, compare)
        _say(report.progress(row))
        yield row
        p95 = row.committed.p95
        if not options.clients and (p95 is None or p95 > options.limit_s):
            return


def _sources(options: argparse.Namespace, url: str) -> Mapping[str, StatsSource]:
    """The gateway's metrics and, of a service that was started here, those of its actors."""
    gateway = metrics_of(_metrics_url(url))
    if options.url:
        return {"gateway": gateway}
    from tests.benchmarks.inside import observed

    return {"gateway": gateway, "actors": observed}


def _metrics_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme.replace("ws", "http"), parts.netloc, "/metrics", "", ""))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
