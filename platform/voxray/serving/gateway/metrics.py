"""What a gateway counts, with prometheus_client.

`/metrics` gives the numbers of the one replica that answers. `voxray.serving.ray.metrics` hands the same
numbers to Ray, whose own endpoints give those of the whole service.
"""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The metrics of one gateway, in a `registry` of their own: a process may run several gateways."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        self.connections = Gauge("voxray_connections", "Open sockets.", registry=self.registry)
        self.accepted = counter("voxray_connections_accepted", "Accepted sockets.")
        self.closed = counter("voxray_connections_closed", "Sockets closed from here, by code.", ["code"])
        self.messages_in = counter("voxray_messages_in", "Frames received from clients.")
        self.messages_out = counter("voxray_messages_out", "Messages sent to clients.")
        self.audio_bytes = counter("voxray_audio_bytes", "Bytes of audio, as sent.")
        self.partials_dropped = counter("voxray_partials_dropped", "Partials dropped for slow clients.")
        self.calls = counter("voxray_actor_calls", "Ticks sent to hosts.")
        self.call_seconds = counter("voxray_actor_call_seconds", "Seconds spent on ticks.")
        self.calls_repeated = counter("voxray_actor_calls_repeated", "Ticks that failed and were sent again.")
        self.hosts_lost = counter("voxray_hosts_lost", "Hosts that died or did not answer.")
        self.reconnects = counter("voxray_reconnects", "Clients that were asked to reconnect.")
