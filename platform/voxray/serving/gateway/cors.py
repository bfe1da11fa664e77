"""Cross-origin requests: pages of `access.allowed_origins` may read the responses of `/v1/`."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voxray.serving.gateway.auth import AccessPolicy, is_api_request


class ApiCorsMiddleware:
    """ASGI middleware: Starlette's CORSMiddleware for requests to `/v1/` from allowed origins.

    It goes around the `AuthMiddleware`: a page can then read why it was refused, and its preflight requests,
    which browsers send without a key, are answered. All other requests pass unchanged.
    """

    def __init__(self, app: ASGIApp, policy: AccessPolicy) -> None:
        self._app, self._policy = app, policy
        self._cors = CORSMiddleware(
            app,
            allow_origins=policy.origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=("Retry-After",),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, through the CORSMiddleware where it applies."""
        if scope["type"] == "http" and is_api_request(scope) and self._allows(Headers(scope=scope)):
            await self._cors(scope, receive, _with_resource_policy(send))
        else:
            await self._app(scope, receive, send)

    def _allows(self, headers: Headers) -> bool:
        return headers.get("origin") in self._policy.origins and self._policy.violation(headers) is None


def _with_resource_policy(send: Send) -> Send:
    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Cross-Origin-Resource-Policy"] = "cross-origin"
        await send(message)

    return send_with_policy
