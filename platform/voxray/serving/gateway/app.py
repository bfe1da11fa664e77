"""The gateway: a stateless Starlette app that carries clients' sockets to the hosts of their sessions.

    /v1/stream     the protocol of voxray.wire     /          the page; as a WebSocket, `RootProtocol`
    /v1/realtime   OpenAI's Realtime API           /healthz   200, or 503 while it drains
    /v1/listen     Deepgram's live transcription   /metrics   Prometheus' text
    /assets/       the pages' files                /trainings, /corrections  their pages, if configured

and `routes`, behind the keys where below /v1/.

It reaches hosts through `protocol.Directory` and `protocol.Host` only, so that it runs and is tested without
Ray.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from voxray.errors import WireError
from voxray.serving.api_error import ApiError
from voxray.serving.client_protocols.base import ClientProtocol
from voxray.serving.client_protocols.root import RootProtocol
from voxray.serving.client_protocols.stream import StreamProtocol
from voxray.serving.gateway.audit import AuditLog
from voxray.serving.gateway.auth import (
    AccessPolicy,
    AuthMiddleware,
    bearer_key,
    expected_key,
    subprotocol_key,
)
from voxray.serving.gateway.connection import Connection, ConnectionContext
from voxray.serving.gateway.cors import ApiCorsMiddleware
from voxray.serving.gateway.host_client import HostClients, TickSchedule
from voxray.serving.gateway.metrics import Metrics
from voxray.serving.gateway.page import HeadersMiddleware, page_routes
from voxray.serving.gateway.quotas import KeyUsages, UsageMiddleware
from voxray.serving.gateway.sockets import serve
from voxray.serving.gateway.upgrades import Upgrade, deepgram_upgrade, realtime_upgrade
from voxray.serving.model_catalog import ModelCatalog
from voxray.serving.protocol import Directory, Refused
from voxray.serving.settings import ServiceArgs
from voxray.wire import PATH, SUBPROTOCOL, Close

log = logging.getLogger(__name__)

ADMITTED = 0.9  # of connections_per_gateway: Serve's health checks, and refusals, need the rest
DRAIN_S = 10.0  # for hosts to learn that the clients have disconnected


class Gateway:
    """The sockets of one process and its clients of their hosts. `name` is unique."""

    def __init__(
        self,
        directory: Directory,
        args: ServiceArgs,
        policy: AccessPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"gateway-{secrets.token_hex(8)}"
        self.metrics = Metrics()
        self.draining = False
        self._catalog = ModelCatalog(args, policy)
        self._capacity = max(1, int(ADMITTED * args.connections_per_gateway))
        self._policy = policy
        self._hosts = HostClients(self.name, directory, TickSchedule(args.tick_ms / 1000), self.metrics)
        self.usages, self.audit = KeyUsages(policy, clock), AuditLog(args.access.audit_log)
        shared = (self.usages, self.audit, self._catalog, self._hosts, self.metrics)
        self._context = ConnectionContext(args.limits, policy, *shared, clock)
        self._connections: set[Connection] = set()

    @property
    def connections(self) -> int:
        """The number of open sockets, including those that are being refused."""
        return len(self._connections)

    @property
    def sessions(self) -> int:
        """The number of sockets that have a session."""
        return sum(c.has_session for c in self._connections)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of clients, of health checks and of metrics."""
        return [
            WebSocketRoute(PATH, self.serve_stream),
            WebSocketRoute("/", self.serve_root),
            WebSocketRoute("/v1/realtime", self.serve_realtime),
            WebSocketRoute("/v1/listen", self.serve_deepgram),
            Route("/healthz", self.show_health),
            Route("/metrics", self.show_metrics),
        ]

    async def serve_stream(self, websocket: WebSocket) -> None:
        """Serve a client of `/v1/stream`."""
        await self._serve_own(websocket, StreamProtocol())

    async def serve_root(self, websocket: WebSocket) -> None:
        """Serve a client of `/`."""
        models = await self._catalog.names(_own_key(websocket))
        await self._serve_own(websocket, RootProtocol(models))

    async def serve_realtime(self, websocket: WebSocket) -> None:
        """Serve a client of OpenAI's Realtime API."""
        await self._serve_upgrade(websocket, realtime_upgrade(websocket))

    async def serve_deepgram(self, websocket: WebSocket) -> None:
        """Serve a client of Deepgram's live transcription."""
        await self._serve_upgrade(websocket, deepgram_upgrade(websocket))

    async def drain(self) -> None:
        """Ask all clients to reconnect elsewhere, refuse new ones, and wait until the hosts know."""
        self.draining = True
        log.info("draining %d connections", self.connections)
        for connection in list(self._connections):
            connection.restart()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hosts.wait_until_idle(), DRAIN_S)

    async def _serve_own(self, websocket: WebSocket, protocol: ClientProtocol) -> None:
        """Serve a client of ours, whose key may come later, and which is refused by messages."""
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        key = _own_key(websocket)
        await self._serve(websocket, Connection(self._context, protocol, key), self._refusal(key))

    async def _serve_upgrade(self, websocket: WebSocket, upgrade: Upgrade) -> None:
        """Serve a client of another service, whose key comes now, and which is refused by HTTP."""
        refused = self._refusal(upgrade.key, key_required=True)
        if self.draining:
            refused = Refused(Close.RESTART, "restart", "expected a running server, got one that stops.")
        protocol = refused or await self._protocol_of(upgrade)
        if isinstance(protocol, Refused):
            return await websocket.send_denial_response(upgrade.refusal(protocol))
        await websocket.accept(upgrade.subprotocol)
        connection = Connection(self._context, protocol, upgrade.key)
        connection.greet()
        await self._serve(websocket, connection, None)

    async def _protocol_of(self, upgrade: Upgrade) -> ClientProtocol | Refused:
        """Return what `upgrade` asks for, or why it cannot be."""
        models = await self._catalog.names(upgrade.key)
        try:
            return upgrade.protocol(models)
        except (WireError, ApiError) as e:
            message, code = (e.message, e.code) if isinstance(e, ApiError) else (str(e), None)
            return Refused(Close.BAD_MESSAGE, code or "bad_message", message)

    async def _serve(self, websocket: WebSocket, connection: Connection, refused: Refused | None) -> None:
        """Serve an accepted socket."""
        self._connections.add(connection)
        self.metrics.accepted.inc()
        self.metrics.connections.inc()
        try:
            if self.draining:
                connection.restart()
            elif refused:
                connection.session_refused(refused)
            await serve(websocket, connection)
        finally:
            self._connections.discard(connection)
            self.metrics.connections.dec()

    def _refusal(self, key: str | None, *, key_required: bool = False) -> Refused | None:
        """Return why a new connection with this key is refused before its first message, or None."""
        if (key_required or key is not None) and not self._policy.admits(key):
            return Refused(Close.NOT_ALLOWED, "not_allowed", expected_key(key))
        if key_required and (refused := self.usages.of(key).session_refusal()):
            return refused
        if self.connections < self._capacity:
            return None
        message = f"expected at most {self._capacity} connections, got one more; try again later."
        return Refused(Close.FULL, "full", message)

    async def show_health(self, request: Request) -> Response:
        """`GET /healthz`: whether clients may connect, and how many are connected."""
        status = "draining" if self.draining else "ok"
        values = {"status": status, "sessions": self.sessions, "connections": self.connections}
        return JSONResponse(values, 503 if self.draining else 200)

    async def show_metrics(self, request: Request) -> Response:
        """`GET /metrics`: those of this process."""
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _own_key(websocket: WebSocket) -> str | None:
    """Return the key of a client of ours that comes with its upgrade, if one does."""
    key = bearer_key(websocket.headers)
    return subprotocol_key(websocket.scope.get("subprotocols", [])) if key is None else key


def build(
    directory: Directory,
    args: ServiceArgs,
    *,
    routes: Sequence[BaseRoute] = (),
    running: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext,
    environ: Mapping[str, str] = os.environ,
    page: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Starlette:
    """Return the app; see `gateway_of`. It drains when its life ends. `clock` gives monotonic seconds.

    `running` is entered for the app's life: it ends what its `routes` need.

    ConfigError where anybody could connect although nothing allows that (`AccessPolicy.of`).
    """
    policy = AccessPolicy.of(args, environ)
    gateway = Gateway(directory, args, policy, clock=clock)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with running():
            try:
                yield
            finally:
                await gateway.drain()

    app = Starlette(
        routes=[*gateway.routes(), *page_routes(page, _pages(args)), *routes],
        middleware=[
            Middleware(HeadersMiddleware),
            Middleware(ApiCorsMiddleware, policy=policy),
            Middleware(AuthMiddleware, policy=policy),
            Middleware(UsageMiddleware, usages=gateway.usages, audit=gateway.audit, clock=clock),
        ],
        lifespan=lifespan,
    )
    app.state.gateway = gateway
    return app


def _pages(args: ServiceArgs) -> list[str]:
    """Return the pages of the parts that are configured, besides the live one."""
    parts = {"trainings": args.trainings.dir, "corrections": args.corrections.dir}
    return [name for name, folder in parts.items() if folder]


def gateway_of(app: Starlette) -> Gateway:
    """Return the gateway in an app that `build` returned."""
    gateway: Gateway = app.state.gateway
    return gateway
