"""A recording heard by many transcribers at once: its windows go out in groups and come back in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from voxray.audio import Pcm, duration_s
from voxray.speech import Span
from voxray.transcribe import UNDETERMINED, Windows, foreign, segments_of, spoken_language
from voxray.transcript import Segment
from voxray.whisper.engines import DecodingOptions, DecodingResult

GROUP_S = 60.0  # of audio in one call: small enough to spread an hour, large enough to fill batches
GROUPS_AT_ONCE = 8  # of one recording; more would let one file crowd out the others


class Files(Protocol):
    """The model that hears files, near or far. `model` is its name."""

    model: str

    async def describe(self) -> tuple[float, tuple[str, ...]]:
        """The model's smallest window in seconds, and its languages; ServiceError where it cannot tell."""
        ...

    async def transcribe(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[DecodingResult]:
        """One hypothesis per clip (at most 30 s), in order; several calls may run at once.

        ServiceError where no more work is taken.
        """
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """One window: where it lies in the recording, and what was heard in it."""

    span: Span
    hypothesis: DecodingResult

    @property
    def segments(self) -> list[Segment]:
        """With times in the recording, and their words."""
        return segments_of(self.hypothesis, self.span.start_s)


@dataclass(frozen=True, slots=True)
class Recording:
    """All that was heard in a recording of `duration_s` seconds."""

    heard: tuple[Heard, ...]
    language: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class Hearing:
    """The windows of one recording on their way through `files`."""

    files: Files
    windows: Windows
    options: DecodingOptions

    async def whole(self) -> Recording:
        """What `voxray.transcribe.transcribe` hears.

        Unless `options` name the language, it is the one that most of the speech was heard in, and windows
        heard in another are decoded again.
        """
        spans = self.windows.spans
        heard = [h async for _, h in self._together(range(len(spans)), self.options.language)]
        language = self.options.language or spoken_language(spans, heard)
        async for i, hypothesis in self._together(foreign(heard, language), language):
            heard[i] = hypothesis
        pairs = zip(spans, heard, strict=True)
        return Recording(tuple(Heard(s, h) for s, h in pairs), language, self.windows.duration_s)

    async def in_order(self) -> AsyncGenerator[Heard, None]:
        """The windows as they are heard, first to last; the next groups are decoded meanwhile.

        What has been told cannot be taken back: unless `options` name the language, it is that of the first
        group with words, and all later windows are decoded in it.
        """
        left = deque(grouped(range(len(self.windows.clips)), self.windows.clips))
        language = self.options.language
        while left and not language:
            group = left.popleft()
            language, heard = await self._first(group)
            for i, hypothesis in zip(group, heard, strict=True):
                yield Heard(self.windows.spans[i], hypothesis)
        async with aclosing(self._together([i for group in left for i in group], language)) as rest:
            async for i, hypothesis in rest:
                yield Heard(self.windows.spans[i], hypothesis)

    async def _first(self, group: Sequence[int]) -> tuple[str | None, list[DecodingResult]]:
        """The language of a group (None: nobody speaks), and all of it heard in that language."""
        heard = await self._hear(group, None)
        language = spoken_language([self.windows.spans[i] for i in group], heard)
        others = foreign(heard, language)
        if others:
            again = await self._hear([group[i] for i in others], language)
            for i, hypothesis in zip(others, again, strict=True):
                heard[i] = hypothesis
        return (None if language == UNDETERMINED else language), heard

    async def _together(
        self, indices: Iterable[int], language: str | None
    ) -> AsyncGenerator[tuple[int, DecodingResult], None]:
        """Windows and what was heard in them, in order, `GROUPS_AT_ONCE` groups at a time."""
        running = deque[tuple[Sequence[int], asyncio.Task[list[DecodingResult]]]]()
        left = deque(grouped(indices, self.windows.clips))
        try:
            while left or running:
                while left and len(running) < GROUPS_AT_ONCE:
                    task = asyncio.create_task(self._hear(left[0], language))
                    running.append((left.popleft(), task))
                group, task = running[0]
                heard = await task
                running.popleft()
                for pair in zip(group, heard, strict=True):
                    yield pair
        finally:
            await _cancelled([task for _, task in running])

    async def _hear(self, group: Sequence[int], language: str | None) -> list[DecodingResult]:
        options = self.options.model_copy(update={"language": language})
        return await self.files.transcribe([self.windows.clips[i] for i in group], options)


def grouped(indices: Iterable[int], clips: Sequence[Pcm]) -> list[list[int]]:
    """`indices` of clips, in order, in groups of at most `GROUP_S` seconds of audio."""
    groups: list[list[int]] = []
    room_s = 0.0
    for i in indices:
        length_s = duration_s(clips[i])
        if not groups or length_s > room_s:
            groups.append([])
            room_s = GROUP_S
        groups[-1].append(i)
        room_s -= length_s
    return groups


async def _cancelled(tasks: Sequence[asyncio.Task[list[DecodingResult]]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
