"""What a gateway counts, as Prometheus reads it.

Counts are kept here and given out at `/metrics`, where they are those of the one replica that answers. In a
replica of Ray Serve they are also handed to Ray's own metrics, which Prometheus reads node by node: those
are the service's. They are handed over in sums, because each call costs as much as a frame of audio.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is counted. `label` names what its numbers are told apart by, if anything."""

    name: str
    text: str
    kind: Literal["counter", "gauge"] = "counter"
    label: str = ""


CONNECTIONS = Metric("voxray_connections", "Sockets that are open.", "gauge")
ACCEPTED = Metric("voxray_connections_accepted", "Sockets that were accepted.")
CLOSED = Metric("voxray_connections_closed", "Sockets that this side closed, by code.", label="code")
MESSAGES_IN = Metric("voxray_messages_in", "Frames that came from clients.")
MESSAGES_OUT = Metric("voxray_messages_out", "Messages that were sent to clients.")
AUDIO_BYTES = Metric("voxray_audio_bytes", "Bytes of audio that came, as sent.")
PARTIALS_DROPPED = Metric("voxray_partials_dropped", "Partials that a slow client was spared.")
CALLS = Metric("voxray_actor_calls", "Ticks that hosts were called with.")
CALL_SECONDS = Metric("voxray_actor_call_seconds", "Seconds that those calls took.")
CALLS_REPEATED = Metric("voxray_actor_calls_repeated", "Calls that failed and were made again.")
HOSTS_LOST = Metric("voxray_hosts_lost", "Hosts that died or did not answer.")
RECONNECTS = Metric("voxray_reconnects", "Clients that were asked to connect again.")

METRICS = (
    *(CONNECTIONS, ACCEPTED, CLOSED, MESSAGES_IN, MESSAGES_OUT, AUDIO_BYTES, PARTIALS_DROPPED),
    *(CALLS, CALL_SECONDS, CALLS_REPEATED, HOSTS_LOST, RECONNECTS),
)


class Mirror(Protocol):
    """Where sums are handed on to."""

    def add(self, metric: Metric, amount: float, label: str) -> None:
        """A counter grew by `amount`, above 0."""
        ...

    def set(self, metric: Metric, value: float) -> None:
        """A gauge stands at `value`."""
        ...


class Metrics:
    """The numbers of one gateway."""

    def __init__(self, mirror: Mirror | None = None) -> None:
        self._values: defaultdict[tuple[Metric, str], float] = defaultdict(float)
        self._told: defaultdict[tuple[Metric, str], float] = defaultdict(float)
        self._mirror = mirror

    def add(self, metric: Metric, amount: float = 1, label: str = "") -> None:
        """`amount` more, or less, of `metric`."""
        self._values[metric, label] += amount

    def value(self, metric: Metric, label: str = "") -> float:
        """Where it stands."""
        return self._values.get((metric, label), 0.0)

    def hand_on(self) -> None:
        """Tell the mirror what changed since the last time."""
        for (metric, label), value in self._values.items() if self._mirror else ():
            grown = value - self._told[metric, label]
            self._told[metric, label] = value
            assert self._mirror
            if metric.kind == "gauge":
                self._mirror.set(metric, value)
            elif grown > 0:
                self._mirror.add(metric, grown, label)

    def render(self) -> str:
        """All of it in Prometheus' text format."""
        lines = list[str]()
        for metric in METRICS:
            name = metric.name + ("_total" if metric.kind == "counter" else "")
            lines += [f"# HELP {name} {metric.text}", f"# TYPE {name} {metric.kind}"]
            labels = sorted(label for known, label in self._values if known is metric)
            for label in labels or ([] if metric.label else [""]):
                tag = f'{{{metric.label}="{label}"}}' if metric.label else ""
                lines.append(f"{name}{tag} {self.value(metric, label):.15g}")
        return "\n".join([*lines, ""])


class RayMirror:
    """Ray's metrics; they carry the replica's name, and counters get `_total` from Ray."""

    def __init__(self) -> None:
        from ray.serve import metrics

        kinds: dict[str, Any] = {"counter": metrics.Counter, "gauge": metrics.Gauge}
        self._of = {
            m: kinds[m.kind](m.name, description=m.text, tag_keys=(m.label,) if m.label else ())
            for m in METRICS
        }

    def add(self, metric: Metric, amount: float, label: str) -> None:
        """As `Mirror.add`."""
        self._of[metric].inc(amount, tags={metric.label: label} if metric.label else {})

    def set(self, metric: Metric, value: float) -> None:
        """As `Mirror.set`."""
        self._of[metric].set(value, tags={})


def replica_mirror() -> Mirror | None:
    """Ray's metrics where this process is a replica of Ray Serve; nothing is imported to find that out."""
    if "ray.serve" not in sys.modules:
        return None
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        serve.get_replica_context()
    except RayServeException:
        return None
    return RayMirror()
