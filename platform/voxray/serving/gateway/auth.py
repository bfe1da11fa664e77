"""Who may connect: keys, and the `Host` and `Origin` that come with a request.

A key comes as `Authorization: Bearer KEY`, as subprotocol `voxray.key.<base64url of KEY>` (browsers cannot
set headers of a WebSocket), or as `start.api_key`; never in a URL, because URLs are logged. `Host` must be
one of `allowed_hosts`, or a name that an attacker points at this machine would do; `Origin`, where a browser
sends it, the page's own or one of `allowed_origins`, or any web page could listen in.
"""

import base64
import binascii
import contextlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from voxray.errors import ConfigError
from voxray.serving.api_error import ApiError
from voxray.serving.settings import ServiceArgs
from voxray.wire import KEY_SUBPROTOCOL

VARIABLE = "VOXRAY_API_KEYS"
MAX_KEY = 512  # characters
_KEY = re.compile(rf"[!-+\--~]{{1,{MAX_KEY}}}")  # visible ASCII but the comma, which separates subprotocols
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s/@:\[\]]+)(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What is held against a request. Without `digests` (of the keys) nobody needs a key."""

    digests: tuple[bytes, ...]
    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, args: ServiceArgs, environ: Mapping[str, str]) -> "AccessPolicy":
        """The door of a deployment.

        ConfigError where a key cannot be one, `keys_file` holds none, or strangers could come in although
        nothing allows that.
        """
        access = args.access
        keys = [*_keys_in_file(access.keys_file), *_keys_in(environ.get(VARIABLE, "").split(","), VARIABLE)]
        if not keys and not access.allow_anonymous and not is_loopback(args.host):
            raise ConfigError(
                f"host: expected keys (access.keys_file or {VARIABLE}) on a host other than loopback, and "
                f"{args.host!r} came without; set them, or access.allow_anonymous=true to let anybody in."
            )
        hosts = frozenset(map(_name, access.allowed_hosts))
        origins = frozenset(o.lower().rstrip("/") for o in access.allowed_origins)
        return cls(tuple(_digest(key) for key in keys), hosts, origins)

    def admits(self, key: str | None) -> bool:
        """Whether `key` is one of the keys, in a time that does not tell how near it came."""
        offered = _digest(key or "")
        return not self.digests or sum(hmac.compare_digest(offered, d) for d in self.digests) > 0

    def objection(self, headers: Headers) -> str | None:
        """What is wrong with `Host` or `Origin`, as a sentence; None where nothing is."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        found = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if not found or _bare(found[1]) not in self.hosts:
            return (
                f"Host: expected one of access.allowed_hosts ({', '.join(sorted(self.hosts))}), and "
                f"{', '.join(hosts)[:80]!r} came."
            )
        if all(o.lower() in self.origins or _is_own(o, hosts[0]) for o in origins):
            return None
        return (
            f"Origin: expected this server's own or one of access.allowed_origins, and "
            f"{', '.join(origins)[:80]!r} came."
        )


class AuthMiddleware:
    """ASGI middleware: 403 for a foreign `Host` or `Origin` (a WebSocket is not accepted), 401 below `/v1/`
    without a key. A WebSocket's key is its connection's concern, for it may come in `start`.
    """

    def __init__(self, app: ASGIApp, door: AccessPolicy) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or hand it on."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers, http = Headers(scope=scope), scope["type"] == "http"
        if objection := self._door.objection(headers):
            return _refused(403, "not_allowed_here", objection) if http else WebSocketClose()
        if not http or not is_of_the_api(scope) or self._door.admits(bearer_key(headers)):
            return None
        return _refused(401, "invalid_api_key", expected_key(bearer_key(headers)))


def is_of_the_api(scope: Scope) -> bool:
    """Whether a request is for what is below `/v1/`."""
    root: str = scope.get("root_path", "").rstrip("/")
    path: str = scope["path"]
    return path.removeprefix(root).startswith("/v1/")


def bearer_key(headers: Headers) -> str | None:
    """The key in `Authorization`; None where there is none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def subprotocol_key(subprotocols: Iterable[str]) -> str | None:
    """The key among the subprotocols; None where there is none, "" for one that is no base64url."""
    word = next((s for s in subprotocols if s.startswith(KEY_SUBPROTOCOL)), None)
    if word is None:
        return None
    code = word.removeprefix(KEY_SUBPROTOCOL)
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def expected_key(came: str | None) -> str:
    """The sentence for a client whose key is missing or wrong."""
    return f"expected a key, and {'none' if came is None else 'one that is not known'} came."


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(_bare(host)).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _keys_in_file(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"access.keys_file: expected a text file, and {file} cannot be read ({e}).") from e
    if not (keys := _keys_in(lines, str(file))):
        raise ConfigError(f"access.keys_file: expected a key per line, and {file} holds none.")
    return keys


def _keys_in(words: Iterable[str], where: str) -> list[str]:
    keys = [word.strip() for word in words if word.strip()]
    for number, key in enumerate(keys, start=1):
        if not _KEY.fullmatch(key):  # the key itself stays out of the message, and so out of logs
            raise ConfigError(
                f"{where}: expected keys of 1 to {MAX_KEY} visible ASCII characters without commas, and "
                f"key {number} is not one."
            )
    return keys


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def _name(host: str) -> str:
    """One of `allowed_hosts` as it is compared: without a port, for any is allowed."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.IPv6Address(_bare(host)))
    found = _HOST.fullmatch(host.lower())
    if not found or "*" in host:
        raise ConfigError(
            f"access.allowed_hosts: expected names or addresses such as voice.example.com, and {host!r} came."
        )
    return _bare(found[1])


def _bare(host: str) -> str:
    return host.lower().strip("[]")


def _is_own(origin: str, host: str) -> bool:
    """Whether a page of `origin` came from `host`. Not its scheme: TLS may end at a proxy before us."""
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(parts.scheme)
    return port is not None and parts.netloc.removesuffix(port) == host.lower().removesuffix(port)


def _refused(status: int, code: str, message: str) -> Response:
    response = ApiError(status, message, code=code).response()
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
