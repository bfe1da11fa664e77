from voxray.serving.gateway.metrics import (
    CALLS,
    CLOSED,
    CONNECTIONS,
    METRICS,
    Metric,
    Metrics,
    replica_mirror,
)


class Ledger:
    """A mirror that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, float, str]] = []

    def add(self, metric: Metric, amount: float, label: str) -> None:
        self.lines.append((metric.name, amount, label))

    def set(self, metric: Metric, value: float) -> None:
        self.lines.append((metric.name, value, "="))


def test_prometheus_reads_all_metrics_from_the_start() -> None:
    text = Metrics().render()

    assert all(f"# TYPE {m.name}" in text for m in METRICS)
    assert "voxray_actor_calls_total 0\n" in text
    assert "voxray_connections 0\n" in text
    assert text.endswith("\n")


def test_labels_are_told_apart() -> None:
    watch = Metrics()
    watch.add(CLOSED, label="1000")
    watch.add(CLOSED, 2, label="1013")

    assert 'voxray_connections_closed_total{code="1000"} 1\n' in watch.render()
    assert 'voxray_connections_closed_total{code="1013"} 2\n' in watch.render()


def test_large_counts_keep_their_digits() -> None:
    watch = Metrics()
    watch.add(CALLS, 12_345_678)

    assert "voxray_actor_calls_total 12345678\n" in watch.render()


def test_a_mirror_gets_sums_and_levels() -> None:
    ledger = Ledger()
    watch = Metrics(ledger)
    watch.add(CALLS, 2)
    watch.add(CALLS, 3)
    watch.add(CONNECTIONS, 4)
    watch.hand_on()
    watch.add(CONNECTIONS, -1)
    watch.hand_on()

    assert ledger.lines == [
        (CALLS.name, 5, ""),
        (CONNECTIONS.name, 4, "="),
        (CONNECTIONS.name, 3, "="),
    ]


def test_outside_of_a_replica_nothing_is_handed_on() -> None:
    assert replica_mirror() is None
