"""Grafana's dashboard reads what there is, under the names that Ray gives it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from voxray.serving.gateway.metrics import Metrics
from voxray.serving.ray.observations import COUNTERS, HISTOGRAMS

BUCKETS = "_bucket"
FAMILIES = list(Metrics().registry.collect())
EXPORTED = {
    **{f"ray_{family.name}_total": "" for family in FAMILIES if family.type == "counter"},
    **{f"ray_{family.name}": "" for family in FAMILIES if family.type == "gauge"},
    "ray_voxray_connections_closed_total": "code",
    **{f"ray_voxray_{name}_total": "" for name in COUNTERS},
    **{f"ray_voxray_{name}{BUCKETS}": "le" for name in HISTOGRAMS},
}
"""What Prometheus can be asked for, and the label of each that tells its numbers apart."""


@pytest.fixture(scope="module")
def dashboard(repository: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((repository / "serve" / "dashboards" / "voxray.json").read_text())
    return loaded


def queries(dashboard: dict[str, Any]) -> Iterator[str]:
    """All that the panels ask for."""
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"\bray_\w+", query))


def test_every_metric_of_the_dashboard_is_exported(dashboard: dict[str, Any]) -> None:
    asked = {name for query in queries(dashboard) for name in metrics_in(query)}

    assert asked <= set(EXPORTED)


def test_every_metric_that_is_exported_has_a_panel(dashboard: dict[str, Any]) -> None:
    asked = {name for query in queries(dashboard) for name in metrics_in(query)}

    assert set(EXPORTED) <= asked


def test_numbers_are_distinguished_by_labels_that_they_have(dashboard: dict[str, Any]) -> None:
    for query in queries(dashboard):
        labels = {label for words in re.findall(r"\bby \(([^)]*)\)", query) for label in words.split(", ")}

        assert labels <= {EXPORTED[name] for name in metrics_in(query)}, query


def test_only_what_grows_has_a_rate(dashboard: dict[str, Any]) -> None:
    rated = {n for query in queries(dashboard) for n in re.findall(r"\brate\((\w+)\[", query)}

    assert rated
    assert all(name.endswith(("_total", BUCKETS)) for name in rated)


def test_panels_stand_side_by_side(dashboard: dict[str, Any]) -> None:
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_ray_exports_under_these_names() -> None:
    """By the recorder of Ray's own agent, which Prometheus reads node by node."""
    from prometheus_client import generate_latest
    from ray._private.telemetry.open_telemetry_metric_recorder import OpenTelemetryMetricRecorder

    recorder = OpenTelemetryMetricRecorder()
    counters = [family.name for family in FAMILIES if family.type == "counter"]
    for name in counters + [f"voxray_{name}" for name in COUNTERS]:
        recorder.register_counter_metric(name, "")
        recorder.set_metric_value(name, {}, 1.0)
    for name in (family.name for family in FAMILIES if family.type == "gauge"):
        recorder.register_gauge_metric(name, "")
        recorder.set_metric_value(name, {}, 1.0)
    for name in (f"voxray_{name}" for name in HISTOGRAMS):
        recorder.register_histogram_metric(name, "", [1.0])
        recorder.record_histogram_aggregated_batch(name, [{"tags": {}, "bucket_counts": [1, 1]}])

    samples = re.findall(r"^(ray_voxray_\w+)[{ ]", generate_latest().decode(), re.MULTILINE)
    assert {name for name in samples if not name.endswith(("_sum", "_count"))} == set(EXPORTED)
