"""Files to transcripts: long ones a section at a time, short ones together, while the next is being read."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import TypeVar

from voxray.audio import Block, Pcm, Selection, channel_count, decode_blocks, duration_s
from voxray.cli.messages import print_warning
from voxray.cli.recordings import InputFile
from voxray.errors import VoxrayError
from voxray.speech import sections
from voxray.transcribe import TranscribeAll, merge_channels, transcribe_sections
from voxray.transcript import Transcript
from voxray.whisper.engines import DecodingOptions

GROUP_S = 600.0  # of audio that is decoded at a time: enough to pack short recordings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class FileSection:
    """A section of file `number`, or why no more of it can be read; `channel` is None for the mix of all."""

    number: int
    channel: int | None
    block: Block | VoxrayError


@dataclass(frozen=True, slots=True)
class FileBatches:
    """Transcribes files with `transcribe_all`; short files share a call of it, and so batches.

    `track` is an audio track, from 1 (None: the default one). `multichannel`: each channel by itself.
    """

    transcribe_all: TranscribeAll
    options: DecodingOptions
    track: int | None = None
    multichannel: bool = False

    def transcripts(self, files: Sequence[InputFile]) -> Iterator[tuple[InputFile, Transcript | VoxrayError]]:
        """Yield each of `files` with its transcript, or why it has none, in order."""
        waiting: list[tuple[InputFile, Pcm | VoxrayError]] = []
        for number, parts in groupby(read_ahead(self._read(files)), attrgetter("number")):
            found = self._short_or_transcribed(parts)
            if isinstance(found, Transcript):
                yield from self._together(waiting)
                yield files[number], found
                waiting = []
                continue
            waiting.append((files[number], found))
            if sum(duration_s(pcm) for _, pcm in waiting if not isinstance(pcm, VoxrayError)) >= GROUP_S:
                yield from self._together(waiting)
                waiting = []
        yield from self._together(waiting)

    def _together(
        self, group: Sequence[tuple[InputFile, Pcm | VoxrayError]]
    ) -> Iterator[tuple[InputFile, Transcript | VoxrayError]]:
        sound = {file: pcm for file, pcm in group if not isinstance(pcm, VoxrayError)}
        transcripts: dict[InputFile, Transcript | VoxrayError]
        try:
            made = self.transcribe_all(list(sound.values()), self.options) if sound else []
            transcripts = dict(zip(sound, made, strict=True))
        except VoxrayError as e:
            transcripts = dict.fromkeys(sound, e)
        for file, pcm in group:
            yield file, pcm if isinstance(pcm, VoxrayError) else transcripts[file]

    def _read(self, files: Sequence[InputFile]) -> Iterator[FileSection]:
        for number, file in enumerate(files):
            try:
                for channel, section in self._sections(file):
                    yield FileSection(number, channel, section)
            except VoxrayError as e:
                yield FileSection(number, None, e)

    def _sections(self, file: InputFile) -> Iterator[tuple[int | None, Block]]:
        """Yield the sections of a file, with their channel."""
        name, channels = str(file.path), list[int | None]([None])
        with file.opened() as source:
            if self.multichannel:
                channels = list(range(channel_count(source, name=name, track=self.track)))
            for channel in channels:
                warn = _ignore if channel else print_warning
                blocks = decode_blocks(source, name=name, warn=warn, selection=Selection(self.track, channel))
                yield from ((channel, section) for section in sections(blocks))

    def _short_or_transcribed(self, parts: Iterator[FileSection]) -> Pcm | Transcript | VoxrayError:
        """Return the samples of a recording of one section; else the transcript, or why there is none."""
        try:
            if self.multichannel:
                channels = groupby(parts, attrgetter("channel"))
                return merge_channels([self._transcribed(_blocks(own)) for _, own in channels])
            blocks = _blocks(parts)
            first, second = next(blocks), next(blocks, None)
            if not first.start and not second:
                return first.pcm
            return self._transcribed(chain(filter(None, (first, second)), blocks))
        except VoxrayError as e:
            return e

    def _transcribed(self, blocks: Iterable[Block]) -> Transcript:
        return transcribe_sections(blocks, self.transcribe_all, self.options)


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield `items`; a thread gets the next one meanwhile. What that raises is raised in its place."""
    iterator = iter(items)

    def get() -> list[T]:
        return list(islice(iterator, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:
        following = thread.submit(get)
        while item := following.result():
            following = thread.submit(get)
            yield from item


def _blocks(parts: Iterable[FileSection]) -> Iterator[Block]:
    """Yield the sections of one file or channel; raise the error where it cannot be read on."""
    for part in parts:
        if isinstance(part.block, VoxrayError):
            raise part.block
        yield part.block


def _ignore(message: str) -> None:
    """Take no notice of a warning that the first channel has given already."""
