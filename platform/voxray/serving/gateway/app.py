"""The gateway: a stateless Starlette app that carries clients' sockets to the hosts of their sessions.

    /v1/stream   the wire (voxray.wire)          /          the page; as a WebSocket, the plain habit
    /healthz     200, or 503 while it drains     /assets/   the page's files
    /metrics     Prometheus' text                and what `routes` adds, below /v1/ behind the keys

It knows hosts by `calls.Directory` and `calls.Host` alone, so that it runs and is tested without Ray.
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

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from voxray.serving.gateway.auth import (
    AccessPolicy,
    AuthMiddleware,
    bearer_key,
    expected_key,
    subprotocol_key,
)
from voxray.serving.gateway.client_protocol import ClientProtocol, Plain, Wire
from voxray.serving.gateway.connection import Connection, ConnectionContext, attend
from voxray.serving.gateway.cors import ApiCorsMiddleware
from voxray.serving.gateway.host_client import HostClients, Pace
from voxray.serving.gateway.metrics import ACCEPTED, CONNECTIONS, Metrics, replica_mirror
from voxray.serving.gateway.page import SafeHeaders, page_routes
from voxray.serving.protocol import Directory, Refused
from voxray.serving.settings import ServiceArgs
from voxray.wire import PATH, SUBPROTOCOL, Close

log = logging.getLogger(__name__)

ADMITTED = 0.9  # of connections_per_gateway; Serve's health checks and the refused need the rest (ray.md, A1)
DRAIN_S = 10.0  # for clients to be told, and hosts to hear that they are gone
HAND_ON_S = 5.0  # between sums for Ray's metrics


class Gateway:
    """The sockets of one process, and its links to their hosts. `name` is unique to it."""

    def __init__(
        self,
        directory: Directory,
        args: ServiceArgs,
        door: AccessPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"gateway-{secrets.token_hex(8)}"
        self.watch = Metrics(replica_mirror())
        self.draining = False
        self._room = max(1, int(ADMITTED * args.connections_per_gateway))
        self._door = door
        self._links = HostClients(self.name, directory, Pace(args.tick_ms / 1000), self.watch)
        self._terms = ConnectionContext(args.limits, door, self._links, self.watch, clock)
        self._connections: set[Connection] = set()

    @property
    def connections(self) -> int:
        """Sockets that are open, those included that are being refused."""
        return len(self._connections)

    @property
    def sessions(self) -> int:
        """Sockets that have a session."""
        return sum(c.served for c in self._connections)

    async def stream(self, websocket: WebSocket) -> None:
        """A client that speaks the wire."""
        await self._attend(websocket, Wire())

    async def plain(self, websocket: WebSocket) -> None:
        """A client with the plain habit."""
        await self._attend(websocket, Plain())

    async def drain(self) -> None:
        """Ask all clients to connect again elsewhere, refuse new ones, and wait until hosts know it."""
        self.draining = True
        log.info("draining %d connections", self.connections)
        for connection in list(self._connections):
            connection.restart()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._links.rest(), DRAIN_S)

    async def _attend(self, websocket: WebSocket, dialect: ClientProtocol) -> None:
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        key = _first(bearer_key(websocket.headers), subprotocol_key(offered))
        connection = Connection(self._terms, dialect, key)
        refused = self._objection(key)
        self._connections.add(connection)
        self.watch.add(ACCEPTED)
        self.watch.add(CONNECTIONS, 1)
        try:
            if self.draining:
                connection.restart()
            elif refused:
                connection.refused(refused)
            await attend(websocket, connection)
        finally:
            self._connections.discard(connection)
            self.watch.add(CONNECTIONS, -1)

    def _objection(self, key: str | None) -> Refused | None:
        """To one more connection, before it has said anything."""
        if key is not None and not self._door.admits(key):
            return Refused(Close.NOT_ALLOWED, "not_allowed", expected_key(key))
        if self.connections < self._room:
            return None
        message = f"expected at most {self._room} connections, and one more came; try again later."
        return Refused(Close.FULL, "full", message)

    async def health(self, request: Request) -> Response:
        """Whether clients may come, and how many are here."""
        status = "draining" if self.draining else "ok"
        values = {"status": status, "sessions": self.sessions, "connections": self.connections}
        return JSONResponse(values, 503 if self.draining else 200)

    async def metrics(self, request: Request) -> Response:
        """This process's numbers."""
        return PlainTextResponse(self.watch.render(), media_type="text/plain; version=0.0.4")

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Around the app's life: numbers are handed on, and at its end clients are asked to move."""
        handing = asyncio.create_task(self._hand_on())
        try:
            yield
        finally:
            handing.cancel()
            await self.drain()

    async def _hand_on(self) -> None:
        while True:
            await asyncio.sleep(HAND_ON_S)
            self.watch.hand_on()


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
    """The app. Its `state.gateway` is the `Gateway`; `clock` gives seconds that only grow.

    `running` is around its life: what its `routes` need ends with it.

    ConfigError where strangers could come in although nothing allows that (`access.AccessPolicy.of`).
    """
    door = AccessPolicy.of(args, environ)
    gateway = Gateway(directory, args, door, clock=clock)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with running(), gateway.lifespan(app):
            yield

    app = Starlette(
        routes=[
            WebSocketRoute(PATH, gateway.stream),
            WebSocketRoute("/", gateway.plain),
            Route("/healthz", gateway.health),
            Route("/metrics", gateway.metrics),
            *page_routes(page),
            *routes,
        ],
        middleware=[
            Middleware(SafeHeaders),
            Middleware(ApiCorsMiddleware, door=door),
            Middleware(AuthMiddleware, door=door),
        ],
        lifespan=lifespan,
    )
    app.state.gateway = gateway
    return app


async def drain(app: Starlette) -> None:
    """Move the clients of an app that `build` made elsewhere; see `Gateway.drain`."""
    gateway: Gateway = app.state.gateway
    await gateway.drain()


def _first(*keys: str | None) -> str | None:
    return next((key for key in keys if key is not None), None)
