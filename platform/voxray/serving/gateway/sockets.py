"""Carries frames between sockets and their connections."""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from voxray.serving.gateway.connection import Connection, ConnectionState
from voxray.serving.gateway.outbox import Outbox

CLOSE_TIMEOUT_S = 5.0  # for a client to read its last messages


async def serve(websocket: WebSocket, connection: Connection) -> None:
    """Carry frames between an accepted socket and its connection until either side has closed."""
    work = (_read(websocket, connection), _write(websocket, connection.outbox), _expire(connection.outbox))
    greeting = asyncio.create_task(_limit_greeting(connection))
    tasks = [asyncio.create_task(w) for w in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        connection.leave()
        greeting.cancel()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _limit_greeting(connection: Connection) -> None:
    """Close a client that sends nothing: for `start_s` at first, then for `idle_s` until its audio begins."""
    limit_s, received = connection.limits.start_s, 0
    while connection.state is ConnectionState.GREETING:
        await asyncio.sleep(limit_s)
        if connection.received == received:
            connection.start_timed_out()
        limit_s, received = connection.limits.idle_s, connection.received


async def _read(websocket: WebSocket, connection: Connection) -> None:
    """Read eagerly: nothing below applies backpressure, so that unread frames would pile up unseen."""
    while (message := await websocket.receive())["type"] == "websocket.receive":
        text = message.get("text")
        connection.receive(text if text is not None else message["bytes"])


async def _write(websocket: WebSocket, outbox: Outbox) -> None:
    try:
        while isinstance(frame := await outbox.next_frame(), str):
            await websocket.send_text(frame)
        await websocket.close(frame.code, frame.reason)
    except (WebSocketDisconnect, WebSocketDisconnected):
        return


async def _expire(outbox: Outbox) -> None:
    """Return some time after the outbox has ended: a client must not keep its place by not reading."""
    await outbox.ended.wait()
    await asyncio.sleep(CLOSE_TIMEOUT_S)
