"""Which audio stream of a container is decoded, and which of its channels."""

from dataclasses import dataclass

import av.audio.stream
import av.container

from voxray.errors import AudioError


@dataclass(frozen=True, slots=True)
class Selection:
    """One audio track of a container, and one channel of it.

    `track` counts the audio tracks from 1; None is the default one, by the container's flags. `channel`
    counts from 0; None is the mix of all channels. A channel that ends early is silent from there.
    """

    track: int | None = None
    channel: int | None = None


DEFAULT_TRACK = Selection()


def audio_stream(
    container: av.container.InputContainer, track: int | None, name: str
) -> av.audio.stream.AudioStream:
    """Return the stream of audio track `track`; AudioError, naming `name`, where there is none."""
    streams = container.streams.audio
    if not streams:
        raise AudioError(f"{name}: expected an audio stream, got none.")
    if track is None:
        best = container.streams.best("audio")  # FFmpeg's choice: the default flag, then the length
        return streams[0] if best is None else next(s for s in streams if s.index == best.index)
    if not 1 <= track <= len(streams):
        there = ", ".join(f"{i} {_title(s)}".rstrip() for i, s in enumerate(streams, start=1))
        raise AudioError(f"{name}: expected one of its audio tracks ({there}), got track {track}.")
    return streams[track - 1]


def _title(stream: av.audio.stream.AudioStream) -> str:
    """Return what the container says about a stream: its language and title."""
    said = (stream.metadata.get(key, "") for key in ("language", "title"))
    return " ".join(text for text in said if text)
