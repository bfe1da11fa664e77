"""A stream over real sockets: connects, sends, receives, and connects again."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.uri import parse_uri

from voxray.client.backoff import Backoff, RetryPolicy
from voxray.client.conversation import (
    ABNORMAL,
    FRAME_BYTES,
    SILENT,
    Conversation,
    ConversationState,
    Event,
)
from voxray.client.inbox import Inbox
from voxray.client.refusals import LOOPBACK, REFUSED, why
from voxray.errors import ConfigError, ServiceError, WireError
from voxray.wire import PATH, Ready, Start

BUFFER_S = 120.0  # of audio that is held here at most
CLOSE_TIMEOUT_S = 1.0
PING_S = 10.0
SETTLED_S = 1.0  # of audio that may wait at a server that has decoded all it was sent
SILENCE_CHECKS = 4  # in `silence_s`; at each the server must owe an answer


def stream(
    url: str, start: Start | None = None, *, live: bool = False, retry: RetryPolicy | None = None
) -> "Live":
    """Return a stream to `url` (`ws://` or `wss://`, with `/v1/stream` where it has no path), to be entered:

        async with stream("ws://127.0.0.1:8000") as live:
            await live.send(pcm)
            await live.stop()
            async for event in live: ...

    `start` describes the audio (default: 16 kHz mono s16le) and what is wanted of it. `live`: the audio is
    recorded in real time, so that `send` never waits. Raises ConfigError where `url` is no WebSocket URL, and
    for `multichannel`, which cannot be resumed: give each channel a stream of its own.
    """
    if start and start.multichannel:
        raise ConfigError("multichannel: expected false, with a stream for each channel, got true.")
    return Live(_with_path(url), start or Start(), live=live, retry=retry or RetryPolicy())


class Live:
    """One stream; iterating yields its events until `Done`. All of it runs in one event loop.

    It outlives its connections: each loss is an event (`Lost`), and so is the `Ready` of each new one. Events
    wait until they are read; of acks and partials only the newest does.
    """

    def __init__(self, url: str, start: Start, *, live: bool, retry: RetryPolicy) -> None:
        self._url = url
        self._live = live
        self._retry = retry
        self._conversation = Conversation(start)
        self._backoff = Backoff(retry)
        self._inbox = Inbox()
        self._changed = asyncio.Event()
        self._accepted = False  # whether any connection was
        self._failure: Exception | None = None
        self._over = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Live":
        """Connect. Raises ServiceError at once where nothing accepts a connection or the stream is refused.

        Connections that are accepted and then cut off are repeated, for `RetryPolicy.total_s`.
        """
        self._task = asyncio.create_task(self._run())
        try:
            await self._until(lambda: self._conversation.ready is not None)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave at once, also where the stream was not stopped."""
        await self._close()

    def __aiter__(self) -> "Live":
        """Return the iterator over the events, which is the stream itself."""
        return self

    async def __anext__(self) -> Event:
        """Return the next event. Raises what ended the stream: ServiceError, or WireError."""
        while not self._inbox:
            if self._failure:
                raise self._failure
            if self._over:
                raise StopAsyncIteration
            await self._changed.wait()
        return self._inbox.pop()

    async def send(self, audio: bytes) -> None:
        """Send audio, in pieces of any size. Waits while the server has no room, unless the source is live.

        Raises what ended the stream, and ServiceError where a live source is `BUFFER_S` ahead of the server.
        """
        for at in range(0, len(audio), FRAME_BYTES):
            if self._live:
                self._check_room()
            else:
                await self._until(self._has_room)
            self._check()
            self._conversation.add(audio[at : at + FRAME_BYTES])
            self._wake()

    async def finalize(self) -> None:
        """Ask for the finals of all audio so far; `Finalized` comes after them."""
        self._check()
        self._conversation.finalize()
        self._wake()

    async def stop(self) -> None:
        """Ask for all finals and the end; then iterate until it comes."""
        self._conversation.stop()
        self._wake()

    @property
    def ready(self) -> Ready:
        """The server's last `ready` message."""
        assert self._conversation.ready  # entering waits for it
        return self._conversation.ready

    @property
    def lag_s(self) -> float:
        """Seconds of audio, here and at the server, that are not decoded yet."""
        return self._conversation.lag_s

    # Waiting.

    def _wake(self) -> None:
        """Wake all tasks that wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self._check()
            await self._changed.wait()

    def _check(self) -> None:
        if self._failure:
            raise self._failure
        if self._over:
            raise ServiceError("expected nothing more after the stream's end, got more audio or a request.")

    @property
    def _buffer_bytes(self) -> int:
        return int(BUFFER_S * self._conversation.bytes_per_second)

    def _has_room(self) -> bool:
        return self._conversation.unsent < FRAME_BYTES and self._conversation.held < self._buffer_bytes

    def _check_room(self) -> None:
        """A live source cannot wait: where the server falls too far behind, the stream ends."""
        if self._conversation.held < self._buffer_bytes or self._failure:
            return
        self._failure = ServiceError(
            f"expected the server to follow live audio, got {BUFFER_S:g} s of it waiting; "
            "give it a smaller model or more replicas."
        )
        if self._task:
            self._task.cancel()

    # Connections.

    async def _run(self) -> None:
        try:
            while self._conversation.state is not ConversationState.DONE:
                await self._connect()
        except Exception as e:  # whatever it is, iterating raises it
            self._failure = e
        finally:
            self._over = True
            self._wake()

    async def _close(self) -> None:
        assert self._task
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _connect(self) -> None:
        """One connection, from its opening to its loss; then the wait before the next."""
        reason = "the connection was lost"
        try:
            async with connect(
                self._url,
                proxy=None if urlsplit(self._url).hostname in LOOPBACK else True,
                compression=None,  # sound hardly shrinks
                open_timeout=self._retry.connect_s,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSE_TIMEOUT_S,
            ) as socket:
                self._accepted = True
                await self._converse(socket)
        except (OSError, EOFError, WebSocketException) as e:
            self._check_worth_retrying(e)
            reason = str(e) or type(e).__name__
        if self._conversation.state is not ConversationState.DONE:
            await self._pause(reason)

    def _check_worth_retrying(self, error: Exception) -> None:
        """Raises ServiceError where a next try would end as this one did; until one is accepted, all do."""
        status = error.response.status_code if isinstance(error, InvalidStatus) else None
        if status in REFUSED or not self._accepted:
            raise ServiceError(f"{self._url}: {why(self._url, error)}") from error

    async def _pause(self, reason: str) -> None:
        delay_s = self._backoff.delay_s(asyncio.get_running_loop().time())
        if delay_s is None:
            raise ServiceError(
                f"{self._url}: expected the server to answer again within {self._retry.total_s:g} s, "
                f"got no answer ({reason})."
            )
        await asyncio.sleep(delay_s)

    async def _converse(self, socket: ClientConnection) -> None:
        """Send and receive on one connection until it ends."""
        sender: asyncio.Task[None] | None = None
        try:
            await socket.send(self._conversation.opened())
            sender = asyncio.create_task(self._send_all(socket))
            await self._receive_all(socket)
        except ConnectionClosed:
            code = ABNORMAL if socket.close_code is None else socket.close_code
            self._deliver(self._conversation.closed(code, socket.close_reason or ""))
        except TimeoutError:
            self._deliver(self._conversation.closed(SILENT, "the server is silent"))
        finally:
            if sender:
                await _end(sender)

    async def _send_all(self, socket: ClientConnection) -> None:
        """Send each message as soon as the conversation allows it."""
        while True:
            message = self._conversation.message_to_send()
            if message is None:
                await self._changed.wait()
            else:
                await socket.send(message)
                self._wake()

    async def _receive_all(self, socket: ClientConnection) -> None:
        """Receive messages until the stream ends or this connection does."""
        clock = asyncio.get_running_loop().time
        held_s = clock() + self._retry.total_s  # from then on one that owes nothing is one that holds
        while self._conversation.is_listening:
            text = await self._next_message(socket)
            if not isinstance(text, str):
                raise WireError(f"expected messages as text, got {len(text)} bytes.")
            self._deliver(*self._conversation.receive_message(text))
            held = clock() > held_s and self._conversation.lag_s < SETTLED_S
            if self._conversation.advanced or held:
                self._backoff.recovered()

    async def _next_message(self, socket: ClientConnection) -> str | bytes:
        """TimeoutError where the server owes something for `silence_s`, or `ready` for `opening_s`."""
        opening = self._conversation.state is ConversationState.OPENING
        checks = 1 if opening else SILENCE_CHECKS
        limit_s = (self._retry.opening_s if opening else self._retry.silence_s) / checks
        owed = 0
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    return await socket.recv()
            except TimeoutError:
                owed = owed + 1 if self._conversation.expects_answer else 0
                if owed >= checks:
                    raise

    def _deliver(self, *events: Event | None) -> None:
        for event in events:
            if event is not None:
                self._inbox.put(event)
        self._wake()


async def _end(sender: asyncio.Task[None]) -> None:
    """Cancel `sender`; raise its error, unless that is the end of the connection."""
    sender.cancel()
    (outcome,) = await asyncio.gather(sender, return_exceptions=True)
    if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionClosed):
        raise outcome


def _with_path(url: str) -> str:
    """Return `url`, with the stream's path where it has none."""
    try:
        parse_uri(url)
    except InvalidURI as e:
        raise ConfigError(f"expected a URL such as ws://127.0.0.1:8000{PATH}, got {url!r}.") from e
    return url.rstrip("/") + PATH if urlsplit(url).path in ("", "/") else url
