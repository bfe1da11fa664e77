"""Requests below `/v1/` that match no other route."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from voxray.serving.api_error import ApiError


class NotFound:
    """An ASGI app: 405 where one of `routes` wants another method, 404 elsewhere, in OpenAI's shape.

    It is not a function because Starlette takes that for a route of GET only.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        request = Request(scope, receive)
        path, allowed = request.url.path, self._allowed_methods(scope)
        if allowed:
            message = f"expected {allowed} {path[:80]}, got {request.method[:20]}."
            response = ApiError(405, message, code="method_not_allowed").response()
            response.headers["Allow"] = allowed
        else:
            message = f"expected a path that /docs lists, got {path[:80]!r}."
            response = ApiError(404, message, code="not_found").response()
        await response(scope, receive, send)

    def _allowed_methods(self, scope: Scope) -> str:
        """Return the methods of the routes for this path, or "" without a route."""
        matching = [route for route in self._routes if route.matches(scope)[0] is Match.PARTIAL]
        return ", ".join(sorted({m for route in matching for m in route.methods or ()} - {"HEAD"}))
