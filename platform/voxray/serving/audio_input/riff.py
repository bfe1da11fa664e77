"""The RIFF/WAVE header that a client may send before PCM, so that it is not played as noise."""

from dataclasses import dataclass

from voxray.audio.riff import MAGIC_BYTES, WaveFormat, may_begin
from voxray.audio.riff import parse_header as parse_wave_header
from voxray.errors import AudioError
from voxray.serving.audio_input.pcm import Format

__all__ = ["MAGIC_BYTES", "MIN_RATE", "PcmHeader", "may_begin", "parse_header"]

MAX_HEADER = 64 * 1024  # bytes before the audio
MIN_RATE, MAX_RATE, MAX_CHANNELS = 4_000, 384_000, 32  # as `start` allows


@dataclass(frozen=True, slots=True)
class PcmHeader:
    """The format of the audio, the `length` of the header before it, and the bytes of audio (None: to the end
    of the stream).
    """

    form: Format
    length: int
    audio_bytes: int | None


def parse_header(head: bytes) -> PcmHeader | None:
    """Return the header that `head` begins with; None if more of it has to come.

    Raises AudioError for audio that is not PCM as `start` could name it, or where no audio begins within
    `MAX_HEADER` bytes.
    """
    header = parse_wave_header(head, MAX_HEADER)
    if header is None:
        return None
    return PcmHeader(_pcm_format(header.format), header.data_start, header.data_bytes)


def _pcm_format(wave: WaveFormat) -> Format:
    if wave.encoding is None:
        raise AudioError(
            f"WAV header: expected 16-bit PCM or 32-bit float, got format {wave.tag} of {wave.bits} bits in "
            f"frames of {wave.frame_bytes} bytes; convert it, or send it as a container."
        )
    if not (1 <= wave.channels <= MAX_CHANNELS and MIN_RATE <= wave.rate <= MAX_RATE):
        raise AudioError(
            f"WAV header: expected 1 to {MAX_CHANNELS} channels at {MIN_RATE} to {MAX_RATE} Hz, got "
            f"{wave.channels} at {wave.rate} Hz."
        )
    return Format(wave.encoding, wave.channels, wave.rate)
