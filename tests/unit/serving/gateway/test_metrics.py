from prometheus_client import generate_latest

from voxray.serving.gateway.metrics import Metrics


def test_all_counts_are_there_from_the_start() -> None:
    text = generate_latest(Metrics().registry).decode()

    assert "voxray_actor_calls_total 0.0\n" in text
    assert "voxray_connections 0.0\n" in text


def test_gateways_of_one_process_count_by_themselves() -> None:
    one, other = Metrics(), Metrics()
    one.closed.labels(code="1000").inc()

    assert one.registry.get_sample_value("voxray_connections_closed_total", {"code": "1000"}) == 1
    assert other.registry.get_sample_value("voxray_connections_closed_total", {"code": "1000"}) is None
