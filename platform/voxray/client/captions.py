"""`voxray stream`: a source goes in, a view shows what comes, and Ctrl-C ends it with the last words."""

import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager, suppress

from voxray.client.connection import Live, stream
from voxray.client.terminal import View
from voxray.wire import Start


async def caption(
    url: str, start: Start, source: AsyncIterator[bytes], view: View, *, live: bool = False
) -> None:
    """Stream `source` and show the events until its end; the first Ctrl-C ends the source, a second all.

    Raises what `stream` raises, what `source` raises (after the finals of what it gave), and CancelledError
    after a second Ctrl-C.
    """
    ended = asyncio.Event()
    with _interrupts(ended):
        try:
            async with stream(url, start, live=live) as talk:
                await _both(talk, source, view, ended)
        finally:
            view.close()


async def _both(talk: Live, source: AsyncIterator[bytes], view: View, ended: asyncio.Event) -> None:
    feeder = asyncio.create_task(_feed(talk, source, ended))
    try:
        async for event in talk:
            view.show(event)
    except BaseException:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)
        raise
    await feeder


async def _feed(talk: Live, source: AsyncIterator[bytes], ended: asyncio.Event) -> None:
    """The source until its end or until it is `ended`; then the stop, in any case."""
    feeding = asyncio.create_task(_pour(talk, source))
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({feeding, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
        feeding.cancel()
        (outcome, _) = await asyncio.gather(feeding, ending, return_exceptions=True)
        await talk.stop()
    if isinstance(outcome, Exception):
        raise outcome


async def _pour(talk: Live, source: AsyncIterator[bytes]) -> None:
    try:
        async for block in source:
            await talk.send(block)
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


@contextmanager
def _interrupts(ended: asyncio.Event) -> Iterator[None]:
    """While it lasts, the first Ctrl-C sets `ended` and the next cancels this task."""
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
