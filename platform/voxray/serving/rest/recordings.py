"""A recording decoded by many transcribers at once: its windows go out in groups and come back in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from voxray.audio import Pcm, duration_s
from voxray.serving.protocol import ModelDescription
from voxray.speech import Span
from voxray.transcribe import (
    UNDETERMINED,
    Windows,
    foreign,
    only_speech,
    segments_of,
    spoken_language,
)
from voxray.transcript import Segment, in_channel
from voxray.whisper.engines import DecodingOptions, DecodingResult

GROUP_S = 60.0  # of audio in one call: small enough to spread an hour, large enough to fill batches
GROUPS_AT_ONCE = 8  # of one recording; more would let one file crowd out the others


class FileTranscriber(Protocol):
    """The models that decode files, in this process or another. None is the default model."""

    async def describe(self, model: str | None) -> ModelDescription:
        """Return what a model is made for; ServiceError if that cannot be told."""
        ...

    async def describe_known(self, models: Sequence[str | None]) -> list[ModelDescription | None]:
        """Return what each of `models` is made for; None where it would have to be fetched first."""
        ...

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, model: str | None
    ) -> list[DecodingResult]:
        """Return one result per clip (at most 30 s), in order; several calls may run at once.

        ServiceError where no more work is accepted, or the model cannot be loaded.
        """
        ...


@dataclass(frozen=True, slots=True)
class DecodedWindow:
    """One window: where it lies in the recording, and its result.

    `channel` counts from 1; None is the mix of all.
    """

    span: Span
    result: DecodingResult
    channel: int | None = None

    @property
    def segments(self) -> list[Segment]:
        """Its segments and their words, with times from the recording's start."""
        segments = segments_of(self.result, self.span.start_s)
        return segments if self.channel is None else [in_channel(s, self.channel) for s in segments]


@dataclass(frozen=True, slots=True)
class DecodedRecording:
    """All windows of a recording of `duration_s` seconds."""

    windows: tuple[DecodedWindow, ...]
    language: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class RecordingDecoder:
    """Decodes the windows of one recording with a model of `transcriber`, by one of its two methods."""

    transcriber: FileTranscriber
    windows: Windows
    options: DecodingOptions
    model: str | None = None

    async def recording(self) -> DecodedRecording:
        """Decode the recording as `voxray.transcribe.transcribe` does.

        Unless `options` name the language, it is the one that most of the speech was decoded in, and windows
        decoded in another are decoded again.
        """
        spans = self.windows.spans
        results = [r async for _, r in self._results(range(len(spans)), self.options.language)]
        language = self.options.language or spoken_language(spans, results)
        async for i, result in self._results(foreign(results, language), language):
            results[i] = result
        windows = tuple(map(DecodedWindow, spans, results))
        return DecodedRecording(windows, language, self.windows.duration_s)

    async def windows_in_order(self) -> AsyncGenerator[DecodedWindow, None]:
        """Yield the windows as they are decoded, first to last, while the next groups are being decoded.

        What was yielded cannot be changed: unless `options` name the language, it is that of the first group
        with words, and all later windows are decoded in it.
        """
        left = deque(grouped(range(len(self.windows.clips)), self.windows.clips))
        language = self.options.language
        while left and not language:
            group = left.popleft()
            language, results = await self._detect_language(group)
            for i, result in zip(group, results, strict=True):
                yield DecodedWindow(self.windows.spans[i], result)
        async with aclosing(self._results([i for group in left for i in group], language)) as rest:
            async for i, result in rest:
                yield DecodedWindow(self.windows.spans[i], result)

    async def _detect_language(self, group: Sequence[int]) -> tuple[str | None, list[DecodingResult]]:
        """Return the language of a group, or None without speech, and its results in that language."""
        results = await self._decode(group, None)
        language = spoken_language([self.windows.spans[i] for i in group], results)
        if others := foreign(results, language):
            again = await self._decode([group[i] for i in others], language)
            for i, result in zip(others, again, strict=True):
                results[i] = result
        return (None if language == UNDETERMINED else language), results

    async def _results(
        self, indices: Iterable[int], language: str | None
    ) -> AsyncGenerator[tuple[int, DecodingResult], None]:
        """Yield windows' indices and results, in order, decoding `GROUPS_AT_ONCE` groups at a time."""
        running = deque[tuple[Sequence[int], asyncio.Task[list[DecodingResult]]]]()
        left = deque(grouped(indices, self.windows.clips))
        try:
            while left or running:
                while left and len(running) < GROUPS_AT_ONCE:
                    task = asyncio.create_task(self._decode(left[0], language))
                    running.append((left.popleft(), task))
                group, task = running[0]
                results = await task
                running.popleft()
                for pair in zip(group, results, strict=True):
                    yield pair
        finally:
            await _cancel([task for _, task in running])

    async def _decode(self, group: Sequence[int], language: str | None) -> list[DecodingResult]:
        options = self.options.model_copy(update={"language": language})
        clips = [self.windows.clips[i] for i in group]
        return only_speech(await self.transcriber.transcribe(clips, options, self.model))


async def decoded_channels(decoders: Sequence[RecordingDecoder]) -> DecodedRecording:
    """Decode the channels of a recording, one after another, each in its own language.

    Returns all of their windows in the order of their times. The recording's language is that of the channel
    with the most text.
    """
    recordings = [await decoder.recording() for decoder in decoders]
    windows = [
        replace(window, channel=channel)
        for channel, recording in enumerate(recordings, start=1)
        for window in recording.windows
    ]
    most = max(recordings, key=lambda r: sum(len(w.result.text) for w in r.windows))
    return DecodedRecording(
        tuple(sorted(windows, key=lambda w: (w.span.start_s, w.channel))),
        most.language,
        max(r.duration_s for r in recordings),
    )


def grouped(indices: Iterable[int], clips: Sequence[Pcm]) -> list[list[int]]:
    """Return `indices` of clips, in order, in groups of at most `GROUP_S` seconds of audio."""
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


async def _cancel(tasks: Sequence[asyncio.Task[list[DecodingResult]]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
