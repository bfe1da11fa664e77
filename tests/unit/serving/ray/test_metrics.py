"""What Ray's metrics are given of a gateway's; Ray itself is not started."""

import warnings
from typing import Any

from voxray.serving.gateway.metrics import Metrics

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Ray declares its own schema in pydantic's old way
    from voxray.serving.ray.metrics import RayExporter


class Ledger:
    """Makes metrics that note what they are given."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, float, dict[str, str]]] = []

    def __call__(self, name: str, description: str, labels: tuple[str, ...]) -> Any:
        ledger = self

        class Noted:
            def inc(self, value: float, tags: dict[str, str]) -> None:
                assert tuple(tags) == labels
                ledger.lines.append((name, value, tags))

            set = inc

        return Noted()


def test_ray_gets_the_growth_of_counters_and_the_level_of_gauges() -> None:
    counters, gauges, metrics = Ledger(), Ledger(), Metrics()
    exporter = RayExporter(metrics.registry, counters, gauges)
    metrics.calls.inc(2)
    metrics.calls.inc(3)
    metrics.connections.inc(4)
    exporter.export()
    metrics.connections.dec()
    metrics.calls.inc()
    metrics.closed.labels(code="1000").inc()
    exporter.export()
    exporter.export()

    assert counters.lines == [
        ("voxray_actor_calls", 5, {}),
        ("voxray_connections_closed", 1, {"code": "1000"}),
        ("voxray_actor_calls", 1, {}),
    ]
    assert gauges.lines == [("voxray_connections", level, {}) for level in (4, 3, 3)]
