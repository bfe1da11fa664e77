import os
import subprocess
import sys

import pytest
from tests.benchmarks.usage import Meter, Process, Reading, between, group_of, metrics_of, parse_metrics


@pytest.mark.parametrize(
    ("command", "group"),
    [
        ("ray::ServeReplica:voxray:Gateway", "gateway"),
        ("ray::ServeReplica:voxray:Transcriber.attach", "transcriber"),
        ("ray::BufferActor.tick", "buffers"),
        ("ray::ProxyActor", "proxy"),
        ("ray::HAProxyManager", "proxy"),
        ("/usr/local/bin/haproxy -W -f /tmp/x.cfg", "proxy"),
        ("ray::ServeController.listen_for_change", "ray"),
        ("ray::DirectoryActor", "directory"),
        ("ray::IDLE", "ray"),
        ("/x/ray/core/src/ray/raylet/raylet --raylet_socket_name=/tmp/x", "ray"),
        ("/x/ray/core/src/ray/gcs/gcs_server --log_dir=/tmp/x", "ray"),
        ("/x/bin/python -u /x/site-packages/ray/_private/log_monitor.py", "ray"),
        ("/x/bin/python -m tests.benchmarks.live", None),
        ("vim ray::notes", None),
    ],
)
def test_processes_are_distinguished_by_their_titles(command: str, group: str | None) -> None:
    assert group_of(command) == group


def test_usage_is_by_group_and_second() -> None:
    before = Reading(
        10.0,
        {1: Process("gateway", 5.0), 2: Process("buffers", 1.0), 3: Process("ray", 9.0)},
        {"gateway": {"voxray_calls_total": 100.0}},
    )
    after = Reading(
        14.0,
        {1: Process("gateway", 6.0, 40.0), 2: Process("buffers", 3.0, 20.5), 4: Process("buffers", 1.0, 9.5)},
        {
            "gateway": {
                "voxray_calls_total": 180.0,
                "voxray_open": 7.0,
                'voxray_batch_sum{a="b"}': 30.0,
                'voxray_batch_count{a="b"}': 8.0,
                "voxray_idle_sum": 0.0,
                "voxray_idle_count": 0.0,
            }
        },
    )
    usage = between(before, after)

    assert usage.cpu == {"gateway": 0.25, "buffers": 0.75}
    assert usage.uss_mb == {"gateway": 40.0, "buffers": 30.0}
    assert usage.serving_mb == 70.0
    assert usage.stats == {
        "voxray_calls_per_s": 20.0,
        "voxray_open": 7.0,
        'voxray_batch_mean{a="b"}': 3.75,
        'voxray_batch_per_s{a="b"}': 2.0,
        "voxray_idle_per_s": 0.0,
    }
    assert usage.missing == ()


@pytest.mark.parametrize("silent", ["before", "after"])
def test_a_source_that_does_not_answer_in_time_is_missing_and_the_rest_is_measured(silent: str) -> None:
    def reading(name: str, at_s: float, total: float) -> Reading:
        actors = None if name == silent else {"voxray_calls_total": total}
        return Reading(at_s, {}, {"actors": actors, "gateway": {"voxray_sockets_total": total}})

    usage = between(reading("before", 1.0, 100.0), reading("after", 3.0, 104.0))

    assert usage.stats == {"voxray_sockets_per_s": 2.0}
    assert usage.missing == ("actors",)


def test_a_page_that_cannot_be_read_is_no_answer() -> None:
    assert metrics_of("http://127.0.0.1:1/metrics")() is None


def test_a_meter_reads_this_process_and_its_children() -> None:
    command = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        reading = Meter(own=True, sources={"service": lambda: {"x": 1.0}}).read([child.pid], memory=True)
        child.communicate()

    assert reading.processes[os.getpid()].group == "bench"
    assert reading.processes[child.pid].group == "load"
    assert reading.processes[child.pid].uss_mb > 0.5
    assert reading.stats == {"service": {"x": 1.0}}


def test_the_services_own_figures_are_read_from_prometheus_text() -> None:
    text = """# HELP voxray_calls_total Calls.
voxray_calls_total 12
voxray_batch_bucket{le="8"} 3
voxray_batch_sum{replica="a b"} 7.5
python_gc_total 9
"""

    assert dict(parse_metrics(text)) == {"voxray_calls_total": 12.0, 'voxray_batch_sum{replica="a b"}': 7.5}
