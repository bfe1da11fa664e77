"""What was measured, as tables for people and as JSON for programs."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.benchmarks.client_scores import Spread
from tests.benchmarks.measuring import Row
from tests.benchmarks.soaking import Soak, Third
from tests.benchmarks.usage import GROUPS

from voxray.text import ErrorCounts

WIDTH = 140
SHOWN_ERRORS = 3


def progress(row: Row) -> str:
    """One line as soon as `row` is there."""
    return (
        f"{row.recording}, {row.clients} clients: words p95 {_s(row.committed.p95)} s, "
        f"finals p95 {_s(row.final.p95)} s, WER {_percent(row.score.words)} %, "
        f"without a final {row.score.without_final} of {row.score.utterances}, errors {len(row.errors)}"
    )


def show(rows: Sequence[Row]) -> None:
    """The tables of one sweep, on stderr."""
    console = Console(stderr=True, width=WIDTH)
    console.print(_latencies(rows))
    console.print(_words(rows))
    console.print(_costs(rows))
    if any(row.usage.stats for row in rows):
        console.print(_stats(rows))
    for row in rows:
        for error in sorted(set(row.errors))[:SHOWN_ERRORS]:
            console.print(f"{row.clients} clients: {error}", markup=False)


def _latencies(rows: Sequence[Row]) -> Table:
    columns = ("words p50", "p95", "max", "finals p50", "p95", "max", "first p50", "p95", "lag")
    title = f"{rows[0].recording}: {rows[0].seconds:g} s each; latencies in seconds"
    table = _numbers(title, "clients", *columns, "sent late p95, ms", "messages/s")
    for row in rows:
        first = row.first_partial
        table.add_row(
            *(str(row.clients), *_three(row.committed), *_three(row.final), _s(first.p50), _s(first.p95)),
            *(_s(row.score.lag_s), _ms(row.late.p95), f"{row.messages_per_s:.1f}"),
        )
    return table


def _words(rows: Sequence[Row]) -> Table:
    columns = ("WER", "deleted", "offline WER", "deleted", "without final", "no last word", "errors")
    table = _numbers("Words; rates in %", "clients", *columns)
    for row in rows:
        score = row.score
        table.add_row(
            *(str(row.clients), _percent(score.words), _deletions(score.words)),
            *(_percent(row.offline), _deletions(row.offline)),
            *(f"{score.without_final}/{score.utterances}", str(score.missing_last_words)),
            str(len(row.errors)),
        )
    return table


def _numbers(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _costs(rows: Sequence[Row]) -> Table:
    groups = [g for g in GROUPS if any(row.usage.cpu.get(g) is not None for row in rows)]
    title = "CPU seconds per second, then memory (USS) in MB; serving: gateway, buffers and transcriber"
    table = _numbers(title, "clients", *groups, "all", *groups, "serving")
    for row in rows:
        cpu, uss = row.usage.cpu, row.usage.uss_mb
        table.add_row(
            str(row.clients),
            *(f"{cpu.get(g, 0.0):.2f}" for g in groups),
            f"{sum(cpu.values()):.2f}",
            *(f"{uss.get(g, 0.0):.0f}" for g in groups),
            f"{row.usage.serving_mb:.0f}",
        )
    return table


def _stats(rows: Sequence[Row]) -> Table:
    table = Table("what the service counts", *(f"{row.clients} clients" for row in rows))
    for name in dict.fromkeys(name for row in rows for name in row.usage.stats):
        values = (row.usage.stats.get(name) for row in rows)
        table.add_row(name, *("" if value is None else f"{value:.3g}" for value in values))
    if any(row.usage.missing for row in rows):
        table.add_row("did not answer in time", *(", ".join(row.usage.missing) for row in rows))
    return table


def show_soak(soak: Soak) -> None:
    """First and last third side by side, on stderr."""
    table = Table("", "first third", "last third", title=f"one client for {soak.seconds / 60:g} minutes")
    for group, mb in soak.last.uss_mb.items():
        table.add_row(f"{group}, MB", f"{soak.first.uss_mb.get(group, 0.0):.1f}", f"{mb:.1f}")
    table.add_row("lag, s", _s(soak.first.lag_s), _s(soak.last.lag_s))
    table.add_row("words p50, s", _s(soak.first.committed.p50), _s(soak.last.committed.p50))
    table.add_row("words p95, s", _s(soak.first.committed.p95), _s(soak.last.committed.p95))
    console = Console(stderr=True, width=WIDTH)
    console.print(table)
    for error in soak.errors:
        console.print(error, markup=False)


def as_json(row: Row) -> dict[str, Any]:
    """`row` in plain values: seconds, per cent, MB."""
    score = row.score
    return {
        "recording": row.recording,
        "clients": row.clients,
        "seconds": row.seconds,
        "committed_s": _rounded(asdict(row.committed)),
        "final_s": _rounded(asdict(row.final)),
        "first_partial_s": _rounded(asdict(row.first_partial)),
        "wer": _rate(score.words.errors, score.words),
        "deletions": _rate(score.words.deletions, score.words),
        **_offline(row.offline),
        "utterances": score.utterances,
        "without_final": score.without_final,
        "missing_last_words": score.missing_last_words,
        "errors": len(row.errors),
        "first_errors": list(row.errors[:SHOWN_ERRORS]),
        "lag_s": score.lag_s,
        "sent_late_s": _rounded(asdict(row.late)),
        "messages_per_s": round(row.messages_per_s, 2),
        "cpu": _rounded(row.usage.cpu),
        "uss_mb": _rounded(row.usage.uss_mb),
        "serving_mb": round(row.usage.serving_mb, 1),
        "stats": _rounded(row.usage.stats),
        "stats_missing": list(row.usage.missing),
    }


def soak_as_json(soak: Soak) -> dict[str, Any]:
    """`soak` in plain values."""
    return {
        "seconds": soak.seconds,
        "first": _third(soak.first),
        "last": _third(soak.last),
        "growth_mb": _rounded(soak.growth_mb),
        "samples": [{**asdict(s), "uss_mb": _rounded(s.uss_mb)} for s in soak.samples],
        "errors": list(soak.errors),
    }


def _third(third: Third) -> dict[str, Any]:
    return {
        "uss_mb": _rounded(third.uss_mb),
        "lag_s": round(third.lag_s, 3),
        "committed_s": _rounded(asdict(third.committed)),
    }


def _offline(offline: ErrorCounts | None) -> dict[str, float]:
    if offline is None:
        return {}
    return {
        "offline_wer": _rate(offline.errors, offline),
        "offline_deletions": _rate(offline.deletions, offline),
    }


def _rate(errors: int, words: ErrorCounts) -> float:
    return round(100 * errors / max(1, words.reference_length), 2)


def _rounded(values: Any) -> dict[str, Any]:
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}


def _three(spread: Spread) -> Iterable[str]:
    return (_s(spread.p50), _s(spread.p95), _s(spread.max))


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.0f}"


def _percent(words: ErrorCounts | None) -> str:
    return "" if words is None else f"{_rate(words.errors, words):.1f}"


def _deletions(words: ErrorCounts | None) -> str:
    return "" if words is None else f"{_rate(words.deletions, words):.1f}"
