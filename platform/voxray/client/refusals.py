"""Messages for connections that could not be opened."""

import ssl
from socket import gaierror
from urllib.parse import urlsplit

from websockets.exceptions import InvalidStatus

LOOPBACK = ("localhost", "127.0.0.1", "::1")
REFUSED = (401, 403)  # HTTP statuses that trying again does not change


def why(url: str, error: Exception) -> str:
    """Return what was expected at `url`, what was found instead, and what to do."""
    match error:
        case InvalidStatus():
            return _refused(error.response.status_code)
        case ssl.SSLError():
            sentence = f"expected TLS with a certificate that this machine trusts, got a failure ({error})"
            return f"{sentence}; {_other_scheme(url)}."
        case gaierror():
            return f"expected the name of a host, got an unknown one ({error.strerror})."
        case TimeoutError():
            return "expected a Voxray server, got no answer in time; check the address."
        case OSError() if not isinstance(error, ConnectionResetError):
            return f"expected a Voxray server, got no answer ({error}){_what_to_do(url)}."
    found = str(error) or "the connection breaks off"
    return f"expected a WebSocket server, got another one ({found}); {_other_scheme(url)}."


def _refused(status: int) -> str:
    sentence = f"expected a stream, got a refusal by the server with HTTP {status}"
    if status not in REFUSED:
        return f"{sentence}."
    return (
        f"{sentence}; its access.allowed_hosts must name the host of this URL, its access.allowed_origins a "
        "foreign page, and where keys are asked for, one must be given."
    )


def _other_scheme(url: str) -> str:
    secure = urlsplit(url).scheme == "wss"
    return "write ws:// where the server has no TLS" if secure else "write wss:// where the server has TLS"


def _what_to_do(url: str) -> str:
    here = urlsplit(url).hostname in LOOPBACK
    return "; start one with `make serve`" if here else "; check the address, and whether it runs there"
