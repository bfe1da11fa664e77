"""Requests below `/v1/` that match no other route."""

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from voxray.serving.api_error import ApiError

_POSTED = ("/v1/audio/transcriptions", "/v1/audio/translations")
_MODELS = "/v1/models"


class NotFound:
    """An ASGI app: 405 where only the method is wrong, 404 elsewhere, in OpenAI's shape.

    It is not a function because Starlette takes that for a route of GET only.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        request = Request(scope, receive)
        path, allowed = request.url.path, _allowed_method(request.url.path)
        if allowed:
            message = f"expected {allowed} {path[:80]}, got {request.method[:20]}."
            response = ApiError(405, message, code="method_not_allowed").response()
            response.headers["Allow"] = allowed
        else:
            message = f"expected a path that /docs lists, got {path[:80]!r}."
            response = ApiError(404, message, code="not_found").response()
        await response(scope, receive, send)


def _allowed_method(path: str) -> str | None:
    """Return the method of the route for `path`, or None without a route."""
    if path in _POSTED:
        return "POST"
    return "GET" if path == _MODELS or path.startswith(f"{_MODELS}/") else None
