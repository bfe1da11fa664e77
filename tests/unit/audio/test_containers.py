"""Each container that the manual names, whole and cut off."""

import struct
from pathlib import Path

import numpy as np
import pytest
from tests.unit.audio.files import Track, muxed, pitch, tone

from voxray.audio import EXTENSIONS, SAMPLE_RATE, decode, duration_s
from voxray.audio.containers import SUFFIXES
from voxray.errors import AudioError

FILES = [
    ("rf64", "pcm_s16le", 16_000),
    ("wav", "pcm_alaw", 8_000),
    ("wav", "adpcm_ms", 22_050),
    ("wav", "g722", 16_000),
    ("w64", "pcm_s24le", 48_000),
    ("aiff", "pcm_s16be", 44_100),
    ("au", "pcm_s16be", 16_000),
    ("au", "pcm_mulaw", 8_000),
    ("caf", "pcm_s16le", 44_100),
    ("caf", "alac", 44_100),
    ("voc", "pcm_s16le", 16_000),
    ("flac", "flac", 16_000),
    ("mp3", "libmp3lame", 24_000),
    ("mp2", "mp2", 48_000),
    ("adts", "aac", 32_000),
    ("latm", "aac", 44_100),
    ("ac3", "ac3", 48_000),
    ("eac3", "eac3", 48_000),
    ("amr", "libopencore_amrnb", 8_000),
    ("tta", "tta", 44_100),
    ("wv", "wavpack", 44_100),
    ("ogg", "libopus", 48_000),
    ("matroska", "aac", 48_000),
    ("webm", "libopus", 48_000),
    ("mov", "alac", 44_100),
    ("3gp", "aac", 16_000),
    ("mpegts", "aac", 44_100),
    ("mpeg", "mp2", 48_000),
    ("asf", "wmav1", 22_050),
    ("asf", "wmav2", 44_100),
    ("avi", "libmp3lame", 44_100),
    ("flv", "nellymoser", 16_000),
]


@pytest.mark.parametrize(("container", "codec", "rate"), FILES)
def test_a_file_of_any_container_in_the_manual_is_decoded(container: str, codec: str, rate: int) -> None:
    pcm = decode(muxed(container, Track(codec, rate=rate)))

    assert duration_s(pcm) == pytest.approx(4.0, abs=0.15)
    assert pitch(pcm) == pytest.approx(440, abs=2)


def test_the_manual_names_every_container_and_suffix() -> None:
    manual = (Path(__file__).parents[3] / "README.md").read_text()
    section = manual.partition("### Audio that is read")[2].partition("\n#")[0]

    assert section
    assert [s for s in sorted(EXTENSIONS) if f"`{s}`" not in section] == []
    assert {c for c, _, _ in FILES} | {"aac", "loas", "mp4"} >= SUFFIXES.keys()


CUT = [
    ("aiff", "pcm_s16be"),
    ("au", "pcm_s16be"),
    ("caf", "pcm_s16le"),
    ("tta", "tta"),
    ("flac", "flac"),
    ("matroska", "libopus"),
    ("webm", "libopus"),
    ("rf64", "pcm_s16le"),
    ("w64", "pcm_s16le"),
    ("w64", "pcm_s24le"),
    ("voc", "pcm_s16le"),
    ("mp3", "libmp3lame"),
    ("asf", "wmav2"),
    ("avi", "libmp3lame"),
    ("avi", "pcm_s16le"),
    ("flv", "aac"),
    ("wv", "wavpack"),
]


@pytest.mark.parametrize(("container", "codec"), CUT)
def test_a_file_cut_off_is_refused_and_with_a_warning_gives_what_is_there(container: str, codec: str) -> None:
    data = muxed(container, Track(codec))
    warnings = list[str]()

    with pytest.raises(AudioError, match=r"clip 7: expected .*(cut off|cannot be decoded)"):
        decode(data[: len(data) * 2 // 3], name="clip 7")
    pcm = decode(data[: len(data) * 2 // 3], name="clip 7", warn=warnings.append)

    assert duration_s(pcm) == pytest.approx(8 / 3, abs=0.7)  # TTA's frames are of a second
    assert "cut off" in warnings[-1]
    assert len(warnings) == 1 or (container == "wv" and "damaged" in warnings[0])


PIPED = ["au", "caf", "voc", "flac", "mp3", "tta", "wv", "matroska", "webm", "asf", "avi", "flv"]


@pytest.mark.parametrize(("container", "codec"), [c for c in CUT if c[0] in PIPED])
def test_a_file_written_to_a_pipe_without_its_length_is_whole(container: str, codec: str) -> None:
    assert duration_s(decode(muxed(container, Track(codec), pipe=True))) == pytest.approx(4.0, abs=0.1)


def test_an_au_file_written_to_a_pipe_without_its_length_is_whole() -> None:
    header = struct.pack(">4sIIIII", b".snd", 24, 0xFFFF_FFFF, 3, SAMPLE_RATE, 1)  # 3: 16-bit PCM
    sound = tone(2.0)

    assert np.array_equal(decode(header + sound.astype(">i2").tobytes()), sound)
