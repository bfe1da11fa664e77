"""A gateway's metrics, handed on to Ray, whose endpoints give Prometheus those of the whole service."""

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry
from ray.serve import metrics as ray_metrics

EXPORT_S = 5.0  # between exports: a call to Ray's metrics costs as much as a frame of audio


class RayExporter:
    """Copies the counters and gauges of a registry to Ray's metrics of the same names.

    Ray tags them with the replica, and adds `_total` to the names of counters. `counter` and `gauge` make
    Ray's metrics, from a name, a description and the names of the labels.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        counter: Callable[..., Any] = ray_metrics.Counter,
        gauge: Callable[..., Any] = ray_metrics.Gauge,
    ) -> None:
        self._registry = registry
        self._counter, self._gauge = cache(counter), cache(gauge)
        self._exported: dict[tuple[str, ...], float] = {}

    async def run(self) -> None:
        """Export from time to time, until cancelled."""
        while True:
            await asyncio.sleep(EXPORT_S)
            self.export()

    def export(self) -> None:
        """Hand on how much each counter has grown since the last call, and the level of each gauge."""
        for metric in self._registry.collect():
            for sample in metric.samples:
                description = (metric.name, metric.documentation, tuple(sample.labels))
                if sample.name == metric.name:
                    self._gauge(*description).set(sample.value, tags=dict(sample.labels))
                elif sample.name == f"{metric.name}_total":
                    key = (metric.name, *sample.labels.values())
                    growth = sample.value - self._exported.get(key, 0.0)
                    self._exported[key] = sample.value
                    if growth > 0:
                        self._counter(*description).inc(growth, tags=dict(sample.labels))
