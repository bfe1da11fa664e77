"""The loop of `voxray stream`: audio to the server, events to the terminal, until the end or Ctrl-C."""

import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager, suppress

from voxray.cli.terminal import CaptionView
from voxray.client import Live, stream
from voxray.wire import Start


async def stream_captions(
    url: str, start: Start, source: AsyncIterator[bytes], view: CaptionView, *, live: bool = False
) -> None:
    """Stream `source` and show the events until its end; the first Ctrl-C ends the source, a second all.

    Raises what `stream` raises, what `source` raises (after the finals of what it gave), and CancelledError
    after a second Ctrl-C.
    """
    ended = asyncio.Event()
    with _interrupts(ended):
        try:
            async with stream(url, start, live=live) as server:
                await _send_and_show(server, source, view, ended)
        finally:
            view.close()


async def _send_and_show(
    server: Live, source: AsyncIterator[bytes], view: CaptionView, ended: asyncio.Event
) -> None:
    sender = asyncio.create_task(_send_until(ended, server, source))
    try:
        async for event in server:
            view.show(event)
    except BaseException:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        raise
    await sender


async def _send_until(ended: asyncio.Event, server: Live, source: AsyncIterator[bytes]) -> None:
    """Send the source until its end or until `ended` is set; then stop the stream, in any case."""
    sending = asyncio.create_task(_send_all(server, source))
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({sending, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
        sending.cancel()
        (outcome, _) = await asyncio.gather(sending, ending, return_exceptions=True)
        await server.stop()
    if isinstance(outcome, Exception):
        raise outcome


async def _send_all(server: Live, source: AsyncIterator[bytes]) -> None:
    try:
        async for block in source:
            await server.send(block)
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


@contextmanager
def _interrupts(ended: asyncio.Event) -> Iterator[None]:
    """While the block runs, the first Ctrl-C sets `ended` and the next cancels this task."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task

    def interrupted() -> None:
        if ended.is_set():
            task.cancel()
        ended.set()

    with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        with suppress(NotImplementedError, ValueError, RuntimeError):
            loop.remove_signal_handler(signal.SIGINT)
