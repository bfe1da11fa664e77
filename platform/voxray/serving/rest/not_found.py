"""Requests below `/v1/` that nothing else answers."""

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from voxray.serving.api_error import ApiError

_POSTED = ("/v1/audio/transcriptions", "/v1/audio/translations")
_MODELS = "/v1/models"


class NotFound:
    """An ASGI app: 405 where only the method is wrong, 404 elsewhere, as OpenAI's clients read it.

    Not a function, which would be a route for GET alone.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        request = Request(scope, receive)
        path, allowed = request.url.path, _method(request.url.path)
        if allowed:
            message = f"expected {allowed} {path[:80]}, and {request.method[:20]} came."
            response = ApiError(405, message, code="method_not_allowed").response()
            response.headers["Allow"] = allowed
        else:
            message = f"expected a path that /docs lists, and {path[:80]!r} came."
            response = ApiError(404, message, code="not_found").response()
        await response(scope, receive, send)


def _method(path: str) -> str | None:
    """What may be done with `path`; None where there is nothing."""
    if path in _POSTED:
        return "POST"
    return "GET" if path == _MODELS or path.startswith(f"{_MODELS}/") else None
