"""The clock of containers: tracks that start late, holes of lost packets, clocks that are set back."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from tests.unit.audio.files import Track, muxed, pitch

from voxray.audio import MAX_HOLE_S, SAMPLE_RATE, decode, decode_blocks, duration_s
from voxray.audio.demuxing import RESTART_S
from voxray.errors import AudioError


def holes(data: bytes) -> Iterator[tuple[float, float]]:
    """Where each hole begins and how long it is, in seconds."""
    end = 0
    for block in decode_blocks(data):
        if block.start > end:
            yield end / SAMPLE_RATE, (block.start - end) / SAMPLE_RATE
        end = block.end


LATE = [("matroska", "libopus"), ("matroska", "aac"), ("mp4", "aac"), ("mov", "alac"), ("mpegts", "mp2")]
CLOCKED = [*LATE, ("webm", "libopus"), ("ogg", "libopus"), ("ogg", "flac"), ("asf", "wmav2"), ("flv", "mp3")]


@pytest.mark.parametrize(("container", "codec"), [*LATE, ("mpeg", "mp2"), ("asf", "wmav2")])
def test_audio_that_starts_after_the_video_keeps_its_time(container: str, codec: str) -> None:
    pcm = decode(
        muxed(container, Track(codec, at_s=5.0, rate=44_100 if codec == "mp3" else 48_000), video=True)
    )

    sounding = np.flatnonzero(np.abs(pcm) > 1_000) / SAMPLE_RATE
    assert sounding[0] == pytest.approx(5.0, abs=0.1)
    assert sounding[-1] == pytest.approx(9.0, abs=0.1)


@pytest.mark.parametrize(("container", "codec"), CLOCKED)
def test_a_hole_of_lost_packets_is_silence(container: str, codec: str) -> None:
    track = Track(codec, rate=44_100 if codec == "mp3" else 48_000, lost_s=(1.0, 2.0))
    data = muxed(container, track)

    ((at_s, hole_s),) = holes(data)
    pcm = decode(data, warn=lambda _: None)

    assert [at_s, hole_s] == pytest.approx([1.0, 1.0], abs=0.16)
    assert duration_s(pcm) == pytest.approx(4.0, abs=0.12)
    assert not np.abs(pcm[round((at_s + 0.1) * SAMPLE_RATE) : round(1.9 * SAMPLE_RATE)]).max()
    assert pitch(pcm[-SAMPLE_RATE:]) == pytest.approx(440, abs=2)


def test_single_packets_lost_now_and_then_do_not_add_up() -> None:
    lost = muxed("matroska", Track("libopus", seconds=4.0, lost_s=(3.0, 3.02)))
    pcm = decode(lost)

    assert duration_s(pcm) == pytest.approx(4.0, abs=0.03)  # too short for a hole
    for codec, container in (("libopus", "ogg"), ("flac", "flac")):
        assert not list(holes(muxed(container, Track(codec))))


@pytest.mark.parametrize(("container", "codec"), CLOCKED)
def test_a_hole_of_an_hour_takes_no_memory(container: str, codec: str) -> None:
    track = Track(codec, rate=44_100 if codec == "mp3" else 48_000, late_s=(1.0, 3_600.0))
    data = muxed(container, track)
    tracemalloc.start()
    try:
        ((_, hole_s),) = holes(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert hole_s == pytest.approx(3_600.0, abs=0.2)
    assert peak < 8 << 20


def test_a_hole_longer_than_the_bound_is_refused_or_shortened_with_a_warning() -> None:
    data = muxed("matroska", Track("libopus", late_s=(1.0, 3_600.0)))
    warnings = list[str]()

    with pytest.raises(
        AudioError, match=r"call: expected holes of at most 60 s, got one of 3600\.\d\d s at 1"
    ):
        decode(data, name="call")
    pcm = decode(data, name="call", warn=warnings.append)

    assert duration_s(pcm) == pytest.approx(4.0 + MAX_HOLE_S, abs=0.1)
    assert len(warnings) == 1


def test_holes_count_towards_the_limits_before_they_are_kept() -> None:
    data = muxed("matroska", Track("libopus", late_s=(1.0, 30.0)))
    admitted = list[int]()

    with pytest.raises(AudioError, match=r"expected at most 20 s"):
        decode(data, max_s=20.0, admit=admitted.append)
    assert sum(admitted) < 2 * SAMPLE_RATE


def test_a_clock_that_all_streams_start_late_on_starts_at_0() -> None:
    assert duration_s(decode(muxed("matroska", Track("libopus", at_s=90.0)))) == pytest.approx(4.0, abs=0.05)
    assert duration_s(decode(muxed("mpegts", Track("mp2", at_s=900.0)))) == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(
    ("container", "codec"), [("ogg", "libopus"), ("ogg", "flac"), ("mpegts", "mp2"), ("flac", "flac")]
)
def test_files_joined_end_to_end_follow_one_another(container: str, codec: str) -> None:
    first, then = (muxed(container, Track(codec, seconds=2 * RESTART_S, hertz=hz)) for hz in (440.0, 880.0))

    pcm = decode(first + then)

    assert duration_s(pcm) == pytest.approx(4 * RESTART_S, abs=0.2)
    assert pitch(pcm[-SAMPLE_RATE:]) == pytest.approx(880, abs=2)


def damaged(data: bytes, every: int) -> bytes:
    broken = bytearray(data)
    for at in range(len(data) // 4, len(data) * 3 // 4, every):
        broken[at : at + 40] = bytes(255 - b for b in broken[at : at + 40])
    return bytes(broken)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("adts", "aac"), ("mov", "alac")])
def test_damage_is_refused_and_with_a_warning_the_rest_is_decoded(container: str, codec: str) -> None:
    data = damaged(muxed(container, Track(codec, seconds=20.0)), every=300)
    warnings = list[str]()

    with pytest.raises(AudioError, match=r"call: expected .* damaged"):
        decode(data, name="call")
    pcm = decode(data, warn=warnings.append)

    assert warnings
    assert pitch(pcm[-2 * SAMPLE_RATE :]) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("matroska", "aac"), ("ogg", "libopus")])
def test_after_damage_the_rest_is_at_its_time(container: str, codec: str) -> None:
    data = damaged(muxed(container, Track(codec, seconds=20.0)), every=2_000)
    pcm = decode(data, warn=lambda _: None)

    assert duration_s(pcm) == pytest.approx(20.0, abs=0.3)
    assert pitch(pcm[-2 * SAMPLE_RATE :]) == pytest.approx(440, abs=2)
