"""Attacks carried out, many at once and within a bound, and what the service said to each."""

import asyncio
import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.service.malformed import Attack, End, RawAttack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

AT_ONCE = 32
ANSWER_S = 20.0  # for any connection to be closed
RAW_S = 1.0  # for what is no request: a server waits for the rest of it
ABNORMAL = 1006


@dataclass
class Outcome:
    """What came of an attack: the code that it was closed with (None: it did not wait), and all messages."""

    name: str
    code: int | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    plain: bool = False  # the plain habit: nothing is said but finals

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
    outcome = Outcome(attack.name, plain=attack.path == "/")
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
    outcome = Outcome(attack.name)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(RAW_S):
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
        await reader.readuntil(b"\r\n\r\n")
        writer.write(attack.then)
        await writer.drain()
    if attack.vanishes:
        writer.transport.abort()
        return
    answer = await reader.read()
    if attack.then:
        outcome.code = _close_code(answer)
    else:
        outcome.texts.append(answer.decode("latin-1"))


def _close_code(frames: bytes) -> int | None:
    """Of the close frame that `frames` begin with; a server's have no mask."""
    return int.from_bytes(frames[2:4], "big") if frames[:1] == b"\x88" else None
