"""Pages of other origins: those of `access.allowed_origins` may read what `/v1/` answers."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voxray.serving.gateway.auth import AccessPolicy, is_of_the_api


class ApiCorsMiddleware:
    """ASGI middleware around the `AuthMiddleware`, so that such a page can read refusals too, and is
    answered when it asks what it may send, which browsers do without a key. All other requests pass as is.
    """

    def __init__(self, app: ASGIApp, door: AccessPolicy) -> None:
        self._app, self._door = app, door
        self._readable = CORSMiddleware(
            app,
            allow_origins=door.origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=("Retry-After",),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, readable for the page that asks where it may be."""
        if scope["type"] == "http" and is_of_the_api(scope) and self._invites(Headers(scope=scope)):
            await self._readable(scope, receive, _across_origins(send))
        else:
            await self._app(scope, receive, send)

    def _invites(self, headers: Headers) -> bool:
        return headers.get("origin") in self._door.origins and self._door.objection(headers) is None


def _across_origins(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Cross-Origin-Resource-Policy"] = "cross-origin"
        await send(message)

    return sent
