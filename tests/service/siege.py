"""Attacks carried out, many at once and within a bound, and what the service said to each."""

import asyncio
import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.service.malformed import Attack, End, RawAttack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

AT_ONCE = 32
ANSWER_S = 20.0  # for any connection to be closed
UNENDED_S = 1.0  # for what is no whole request: a server may wait for the rest of it
ABNORMAL = 1006
HEAD_END = b"\r\n\r\n"


@dataclass
class Outcome:
    """What came of an attack: the code that it was closed with (None: there was none), and all messages."""

    name: str
    waited: bool  # for an answer
    code: int | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    plain: bool = False  # a plain text client: it gets finals only

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What it was told to be wrong."""
        return [m for m in self.messages if m["type"] == "error"]


async def besiege(port: int, attacks: Iterable[Attack | RawAttack]) -> list[Outcome]:
    """Carry out all attacks, `AT_ONCE` of them at a time."""
    waiting = iter(attacks)
    outcomes = list[Outcome]()

    async def attacker() -> None:
        for attack in waiting:
            async with asyncio.timeout(ANSWER_S):
                outcomes.append(await _carried_out(port, attack))

    async with asyncio.TaskGroup() as attackers:
        for _ in range(AT_ONCE):
            attackers.create_task(attacker())
    return outcomes


async def _carried_out(port: int, attack: Attack | RawAttack) -> Outcome:
    return await (_framed(port, attack) if isinstance(attack, Attack) else _raw(port, attack))


async def _framed(port: int, attack: Attack) -> Outcome:
    outcome = Outcome(attack.name, attack.end is End.WAITS, plain=attack.path == "/")
    socket = await connect(
        f"ws://127.0.0.1:{port}{attack.path}",
        proxy=None,
        compression=None,
        ping_interval=None,
        max_size=None,
        open_timeout=ANSWER_S,
        subprotocols=[Subprotocol(s) for s in attack.subprotocols] or None,
    )
    with contextlib.suppress(ConnectionClosed):
        for frame in attack.frames:
            await socket.send(frame)
    if attack.end is End.VANISHES:
        socket.transport.abort()
    elif attack.end is End.CLOSES:
        await socket.close()
    else:
        await _heard(socket, outcome)
        outcome.code = ABNORMAL if socket.close_code is None else socket.close_code
    await socket.wait_closed()
    return outcome


async def _heard(socket: ClientConnection, outcome: Outcome) -> None:
    """All that comes until the server closes."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            text = str(await socket.recv())
            if outcome.plain:
                outcome.texts.append(text)
            else:
                outcome.messages.append(json.loads(text))


async def _raw(port: int, attack: RawAttack) -> Outcome:
    outcome = Outcome(attack.name, not attack.vanishes)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        await _exchange(reader, writer, attack, outcome)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return outcome


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, attack: RawAttack, outcome: Outcome
) -> None:
    writer.write(attack.data)
    await writer.drain()
    if attack.then:
        await reader.readuntil(HEAD_END)
        writer.write(attack.then)
        await writer.drain()
    if attack.vanishes:
        writer.transport.abort()
    elif attack.then:
        outcome.code = await _close_code(reader)
    else:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S if attack.is_request else UNENDED_S):
                outcome.texts.append(await _answer(reader))


async def _close_code(reader: asyncio.StreamReader) -> int | None:
    """Of the close frame that comes first, without a mask, as a server sends it; None where another comes."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        frame = await reader.readexactly(4)
        return int.from_bytes(frame[2:], "big") if frame[:1] == b"\x88" else None
    return None


async def _answer(reader: asyncio.StreamReader) -> str:
    """The head of an answer and its body; what came, where the server closed before the end."""
    try:
        head = await reader.readuntil(HEAD_END)
        length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
    except asyncio.IncompleteReadError as e:
        return e.partial.decode("latin-1")
    return (head + body).decode("latin-1")
