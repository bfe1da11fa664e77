"""Who may connect: keys, and the `Host` and `Origin` of a request.

A key comes as `Authorization: Bearer KEY`, as subprotocol `voxray.key.<base64url of KEY>` (browsers cannot
set headers of a WebSocket), or as `start.api_key`; never in a URL, because URLs are logged. `Host` must be
one of `allowed_hosts`, against DNS rebinding; `Origin`, where a browser sends it, must be the server's own or
one of `allowed_origins`, or any web page could listen in.

A line of a key may name, after the key, the model that its clients get who name none, and then `KeyOptions`:
`KEY small.en name=call-centre sessions=20`.
"""

import base64
import binascii
import contextlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from voxray.config import parse
from voxray.errors import ConfigError
from voxray.serving.api_error import ApiError
from voxray.serving.settings import Quota, ServiceArgs
from voxray.wire import KEY_SUBPROTOCOL

VARIABLE = "VOXRAY_API_KEYS"
MAX_KEY = 512  # characters
_KEY = re.compile(rf"[!-+\--~]{{1,{MAX_KEY}}}")  # visible ASCII but the comma, which separates subprotocols
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s/@:\[\]]+)(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class KeyOptions(Quota):
    """What may follow a key in its line."""

    name: str = Field(default="", pattern=r"^[\w.-]{0,64}$")  # in the audit log


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without what would reveal it. `name`: its own, or a part of the digest.

    `model`: of its clients who name none, where it is not the service's default.
    """

    digest: bytes
    name: str
    quota: Quota
    model: str | None = None


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What a request must satisfy. Without `keys` nobody needs one, and all are `anyone`."""

    keys: tuple[ApiKey, ...]
    hosts: frozenset[str]
    origins: frozenset[str]
    anyone: ApiKey = ApiKey(b"", "", Quota())

    @classmethod
    def of(cls, args: ServiceArgs, environ: Mapping[str, str]) -> "AccessPolicy":
        """Return the policy of a deployment.

        ConfigError where a key is malformed, `keys_file` has none, or anybody could connect although nothing
        allows that, or could hear recorded finals of all.
        """
        access = args.access
        from_environment = _parsed_keys(environ.get(VARIABLE, "").split(","), VARIABLE, access.quota)
        keys = (*_keys_from(access.keys_file, access.quota), *from_environment)
        if not keys and not access.allow_anonymous and not is_loopback(args.host):
            raise ConfigError(
                f"host: expected keys (access.keys_file or {VARIABLE}) on a host other than loopback, got "
                f"{args.host!r} without; set them, or access.allow_anonymous=true to let anybody in."
            )
        if not keys and args.corrections.dir and not is_loopback(args.host):
            raise ConfigError(
                f"corrections.dir: expected keys (access.keys_file or {VARIABLE}) on a host other than "
                f"loopback, got {args.host!r} without; anybody could record and hear all others."
            )
        _check_default_models(filter(None, (key.model for key in keys)), args)
        hosts = frozenset(map(_normalized, access.allowed_hosts))
        origins = frozenset(o.lower().rstrip("/") for o in access.allowed_origins)
        return cls(keys, hosts, origins, ApiKey(b"", "", access.quota))

    def find(self, key: str | None) -> ApiKey | None:
        """Return what `key` is, in constant time; None if it is none of the keys."""
        offered = _digest(key or "")
        found = [known for known in self.keys if hmac.compare_digest(offered, known.digest)]
        return next(iter(found), None) if self.keys else self.anyone

    def admits(self, key: str | None) -> bool:
        """Return whether `key` is one of the keys, in constant time."""
        return self.find(key) is not None

    def owner(self, key: str | None) -> str:
        """Return what tells this key from the others and does not reveal it; "" where nobody needs one."""
        return _digest(key or "").hex() if self.keys else ""

    def default_model(self, key: str | None) -> str | None:
        """Return the model of the clients with this key who name none; None: the service's default."""
        found = self.find(key)
        return found.model if found else None

    def violation(self, headers: Headers) -> str | None:
        """Return what is wrong with `Host` or `Origin`, as a sentence, or None."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        host = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if not host or _without_brackets(host[1]) not in self.hosts:
            return (
                f"Host: expected one of access.allowed_hosts ({', '.join(sorted(self.hosts))}), got "
                f"{', '.join(hosts)[:80]!r}."
            )
        if all(o.lower() in self.origins or _is_own(o, hosts[0]) for o in origins):
            return None
        return (
            f"Origin: expected this server's own or one of access.allowed_origins, got "
            f"{', '.join(origins)[:80]!r}."
        )


class AuthMiddleware:
    """ASGI middleware: 403 for a foreign `Host` or `Origin` (a WebSocket is rejected), 401 below `/v1/`
    without a key. The key of a WebSocket is checked by its connection, as it may come in `start`.
    """

    def __init__(self, app: ASGIApp, policy: AccessPolicy) -> None:
        self._app, self._policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request, or pass it on."""
        rejection = None if scope["type"] == "lifespan" else self._rejection(scope)
        await (rejection or self._app)(scope, receive, send)

    def _rejection(self, scope: Scope) -> ASGIApp | None:
        headers, http = Headers(scope=scope), scope["type"] == "http"
        if violation := self._policy.violation(headers):
            return _error(403, "not_allowed_here", violation) if http else WebSocketClose()
        if not http or not is_api_request(scope) or self._policy.admits(bearer_key(headers)):
            return None
        return _error(401, "invalid_api_key", expected_key(bearer_key(headers)))


def is_api_request(scope: Scope) -> bool:
    """Return whether a request is for a path below `/v1/`."""
    root: str = scope.get("root_path", "").rstrip("/")
    path: str = scope["path"]
    return path.removeprefix(root).startswith("/v1/")


def bearer_key(headers: Headers) -> str | None:
    """Return the key in `Authorization`, or None."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def subprotocol_key(subprotocols: Iterable[str]) -> str | None:
    """Return the key among the subprotocols, None without one, or "" for one that is not base64url."""
    subprotocol = next((s for s in subprotocols if s.startswith(KEY_SUBPROTOCOL)), None)
    if subprotocol is None:
        return None
    code = subprotocol.removeprefix(KEY_SUBPROTOCOL)
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def expected_key(key: str | None) -> str:
    """Return the message for a client whose key is missing or wrong."""
    return f"expected a key, got {'none' if key is None else 'one that is not known'}."


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to `host`."""
    try:
        return ipaddress.ip_address(_without_brackets(host)).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _keys_from(file: Path | None, quota: Quota) -> list[ApiKey]:
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"access.keys_file: expected a text file, got {file}, which cannot be read ({e})."
        ) from e
    if not (keys := _parsed_keys(lines, str(file), quota)):
        raise ConfigError(f"access.keys_file: expected a key per line, got none in {file}.")
    return keys


def _parsed_keys(lines: Iterable[str], where: str, quota: Quota) -> list[ApiKey]:
    filled = [words for line in lines if (words := line.split())]
    return [_parsed_key(number, words, where, quota) for number, words in enumerate(filled, start=1)]


def _parsed_key(number: int, words: Sequence[str], where: str, quota: Quota) -> ApiKey:
    """Return the key of one line. What is no option stays out of messages: it may be a part of a key."""
    key, *rest = words
    model = rest.pop(0) if rest and "=" not in rest[0] else None
    options, known = dict(word.partition("=")[::2] for word in rest), KeyOptions.model_fields.keys()
    if not _KEY.fullmatch(key) or not options.keys() <= known:
        raise ConfigError(
            f"{where}: expected keys of 1 to {MAX_KEY} visible ASCII characters without commas, and after "
            f"each at most a model and any of {', '.join(sorted(known))} as name=value, got another one as "
            f"key {number}."
        )
    own = parse(KeyOptions, quota.model_dump() | options, f"{where}, key {number}")
    return ApiKey(_digest(key), own.name or _digest(key).hex()[:8], own, model)


def _check_default_models(names: Iterable[str], args: ServiceArgs) -> None:
    known = (args.model, *args.models)
    trained = ("train-",) if args.trainings.dir else ()
    if not all(name in known or name.startswith(trained) for name in names):
        raise ConfigError(  # without the word, which may be part of a key
            f"keys: expected after a key name=value, nothing, or one of {', '.join(known)}, got another word."
        )


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def _normalized(host: str) -> str:
    """Return one of `allowed_hosts` as it is compared: in lower case, without a port."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.IPv6Address(_without_brackets(host)))
    match = _HOST.fullmatch(host.lower())
    if not match or "*" in host:
        raise ConfigError(
            f"access.allowed_hosts: expected names or addresses such as voice.example.com, got {host!r}."
        )
    return _without_brackets(match[1])


def _without_brackets(host: str) -> str:
    return host.lower().strip("[]")


def _is_own(origin: str, host: str) -> bool:
    """Return whether `origin` is at `host`, with any scheme: TLS may end at a proxy in front."""
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(parts.scheme)
    return port is not None and parts.netloc.removesuffix(port) == host.lower().removesuffix(port)


def _error(status: int, code: str, message: str) -> Response:
    response = ApiError(status, message, code=code).response()
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
