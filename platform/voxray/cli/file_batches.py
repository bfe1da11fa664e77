"""Files to transcripts: long ones a section at a time, short ones together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from voxray.audio import Pcm, Selection, channel_count, decode_blocks, duration_s
from voxray.cli.messages import print_warning
from voxray.cli.recordings import InputFile
from voxray.errors import VoxrayError
from voxray.speech import sections
from voxray.transcribe import TranscribeAll, merge_channels, transcribe_sections
from voxray.transcript import Transcript
from voxray.whisper.engines import DecodingOptions

GROUP_S = 600.0  # of audio that is decoded at a time: enough to pack short recordings


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
        for file in files:
            found = self._short_or_transcribed(file)
            if isinstance(found, Transcript):
                yield from self._together(waiting)
                yield file, found
                waiting = []
                continue
            waiting.append((file, found))
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

    def _short_or_transcribed(self, file: InputFile) -> Pcm | Transcript | VoxrayError:
        """Return the samples of a recording of one section; else the transcript, or why there is none."""
        try:
            return self._channels(file) if self.multichannel else self._mixed(file)
        except VoxrayError as e:
            return e

    def _mixed(self, file: InputFile) -> Pcm | Transcript:
        with file.opened() as source:
            blocks = decode_blocks(
                source, name=str(file.path), warn=print_warning, selection=Selection(self.track)
            )
            parts = sections(blocks)
            first, second = next(parts, None), next(parts, None)
            if first and not first.start and not second:
                return first.pcm
            parts = chain(filter(None, (first, second)), parts)
            return transcribe_sections(parts, self.transcribe_all, self.options)

    def _channels(self, file: InputFile) -> Transcript:
        name, transcripts = str(file.path), list[Transcript]()
        with file.opened() as source:
            for channel in range(channel_count(source, name=name, track=self.track)):
                warn = _ignore if channel else print_warning
                blocks = decode_blocks(source, name=name, warn=warn, selection=Selection(self.track, channel))
                transcripts.append(transcribe_sections(sections(blocks), self.transcribe_all, self.options))
        return merge_channels(transcripts)


def _ignore(message: str) -> None:
    """Take no notice of a warning that the first channel has given already."""
