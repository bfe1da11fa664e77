import io
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.unit.audio.files import Track, muxed, pitch

from voxray.audio import MAX_HOLE_S, SAMPLE_RATE, Codec, Pcm, decode, duration_s, encode
from voxray.errors import AudioError
from voxray.serving.audio_input.container import MAX_UNDECODED, MAX_WAITING, ContainerDecoder, Pipe
from voxray.serving.audio_input.decoder import AudioDecoder, decoder_for
from voxray.wire import Start

LIMIT_S = 20.0  # for what takes milliseconds

FORMATS: list[tuple[Codec, str, dict[str, str]]] = [
    ("libopus", "webm", {"live": "1"}),
    ("libopus", "ogg", {}),
    ("libmp3lame", "mp3", {}),
    ("aac", "mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "200000"}),
    ("flac", "flac", {}),
    ("pcm_s16le", "wav", {}),
]


def music(seconds: float) -> Pcm:
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (8_000 * np.sin(2 * np.pi * (300 + 200 * np.sin(time_s)) * time_s)).astype(np.int16)


def written(pcm: Pcm, codec: Codec, container: str, options: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options) as muxer:
        stream = muxer.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        for at in range(0, len(pcm), 960):
            frame = av.AudioFrame.from_ndarray(pcm[at : at + 960].reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, at
            muxer.mux(stream.encode(frame))
        muxer.mux(stream.encode(None))
    return out.getvalue()


@pytest.fixture(scope="module")
def hour() -> bytes:
    """An hour of silence in 656 KB."""
    return encode(np.zeros(3600 * SAMPLE_RATE, np.int16))


def opened() -> closing[ContainerDecoder]:
    return closing(ContainerDecoder())


def fed(decoder: AudioDecoder, data: bytes, size: int = 1 << 20) -> Iterator[Pcm]:
    """What the decoder returns for `data` and then until its end."""
    for at in range(0, len(data), size):
        yield decoder.feed(data[at : at + size])
    until_s = time.monotonic() + LIMIT_S
    while not decoder.ended:
        assert time.monotonic() < until_s, "it did not end"
        yield decoder.finish()
        time.sleep(0.001)


def fetched(decoder: AudioDecoder, data: bytes, samples: int) -> Pcm:
    """What the decoder returns for `data`, without its end, until that is so many samples."""
    pieces, until = [decoder.feed(data)], time.monotonic() + LIMIT_S
    while sum(map(len, pieces)) < samples:
        assert time.monotonic() < until, f"{sum(map(len, pieces))} of {samples} samples"
        pieces.append(decoder.feed(b""))
        time.sleep(0.002)  # a host asks every 50 ms; who asks without a pause starves the thread
    return np.concatenate(pieces)


def fill(decoder: ContainerDecoder) -> None:
    """Wait until its thread waits for samples to be fetched."""
    until_s = time.monotonic() + LIMIT_S
    while decoder._samples._held < MAX_WAITING:
        assert time.monotonic() < until_s, "it did not fill"
        time.sleep(0.001)


def gone(threads: set[threading.Thread]) -> bool:
    """Whether all threads but these have ended, which they get a while for."""
    for thread in set(threading.enumerate()) - threads:
        thread.join(LIMIT_S)
    return set(threading.enumerate()) <= threads


class CountedBytes(bytes):
    """Counts the bytes that its slices copy."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        CountedBytes.copied += len(part)
        return CountedBytes(part)


def test_reading_a_large_write_in_small_reads_copies_each_byte_once() -> None:
    pipe, data, CountedBytes.copied = Pipe(), bytes(range(256)) * 400, 0
    pipe.write(CountedBytes(data))
    pipe.end()

    assert b"".join(iter(lambda: pipe.read(100), b"")) == data
    assert CountedBytes.copied <= len(data)
    assert pipe.held == 0


@pytest.mark.parametrize(
    ("codec", "container", "options"), FORMATS, ids=lambda v: v if isinstance(v, str) else ""
)
@pytest.mark.parametrize("size", [7, 4_000, 10**6])
def test_a_container_is_decoded_as_the_file_is(
    codec: Codec, container: str, options: dict[str, str], size: int
) -> None:
    data = written(music(3.0), codec, container, options)

    with opened() as decoder:
        pcm = np.concatenate(list(fed(decoder, data, size)))

        assert decoder.received == len(data)
        assert decoder.ended
    file = decode(data)
    assert np.array_equal(pcm[: len(file)], file)
    padding = 1_152 if container == "mp3" else 0  # samples at its end, which only those who can seek know of
    assert len(pcm) <= len(file) + padding


@pytest.mark.parametrize(("codec", "container", "options"), FORMATS[:4])
def test_samples_come_while_bytes_do(codec: Codec, container: str, options: dict[str, str]) -> None:
    data = written(music(10.0), codec, container, options)

    with opened() as decoder:
        pcm = fetched(decoder, data[: len(data) // 2], 4 * SAMPLE_RATE)

        assert 4.0 < duration_s(pcm) < 5.5


def test_the_thread_ends_with_the_stream() -> None:
    before = set(threading.enumerate())
    with opened() as decoder:
        assert sum(map(len, fed(decoder, encode(music(1.0), "libopus", "ogg")))) >= SAMPLE_RATE

        assert gone(before)


@pytest.mark.parametrize("sent", [1, 2_000, 20_000])
def test_close_ends_the_thread_wherever_it_is(sent: int) -> None:
    before = set(threading.enumerate())
    decoder = ContainerDecoder()
    decoder.feed(written(music(10.0), "libopus", "webm", {"live": "1"})[:sent])

    decoder.close()

    assert gone(before)


def test_close_ends_a_thread_that_waits_for_its_samples_to_be_fetched(hour: bytes) -> None:
    before = set(threading.enumerate())
    decoder = ContainerDecoder()
    decoder.feed(hour)
    fill(decoder)

    decoder.close()

    assert gone(before)


def test_a_small_file_that_decodes_to_an_hour_waits_to_be_fetched(hour: bytes) -> None:
    packet = 65_535  # samples that a packet of FLAC may hold
    assert len(hour) < MAX_UNDECODED

    with opened() as decoder:
        decoder.feed(hour)
        for _ in range(5):
            fill(decoder)
            assert MAX_WAITING <= len(decoder.finish()) <= MAX_WAITING + packet
        assert not decoder.ended


def test_feed_and_finish_do_not_wait_for_the_thread() -> None:
    decoder = ContainerDecoder()
    decoder._thread = threading.Thread()  # it never comes to do anything
    decoder.feed(b"OggS")

    assert not len(decoder.finish())
    assert not decoder.ended


def test_credit_is_what_the_pipe_has_room_for(hour: bytes) -> None:
    with opened() as decoder:
        assert decoder.credit(1) == MAX_UNDECODED
        assert decoder.credit(0) == 0
        decoder.feed(hour)
        fill(decoder)

        assert MAX_UNDECODED - len(hour) < decoder.credit(1) < MAX_UNDECODED


def test_more_than_the_credit_and_a_frame_on_its_way_is_refused(hour: bytes) -> None:
    with opened() as decoder:
        decoder.feed(hour)
        fill(decoder)

        with pytest.raises(AudioError, match=r"expected at most \d+ bytes \(credit\), got 2097152"):
            decoder.feed(bytes(2 * MAX_UNDECODED))


@pytest.mark.parametrize(
    "data",
    [
        b"Dear diary, this is no audio at all.\n" * 200,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        bytes(10_000),
        b"\x1a\x45\xdf\xa3",
    ],
    ids=["text", "m3u8", "concat", "zeros", "cut"],
)
def test_what_is_no_container_is_named_in_one_sentence(data: bytes) -> None:
    with (
        opened() as decoder,
        pytest.raises(AudioError, match=r"^container: expected audio .* cannot be decoded") as caught,
    ):
        list(fed(decoder, data))

    assert "\n" not in str(caught.value)


def test_a_playlist_opens_no_file(tmp_path: Path) -> None:
    canary = tmp_path / "canary.wav"
    canary.write_bytes(encode(music(1.0), "pcm_s16le", "wav"))

    for target in (canary, f"file:{canary}", f"file://{canary}"):
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
        with opened() as decoder, pytest.raises(AudioError, match="cannot be decoded"):
            list(fed(decoder, playlist.encode()))


def test_an_mp4_that_is_not_in_fragments_is_an_error() -> None:
    with opened() as decoder, pytest.raises(AudioError, match="mp4 in fragments"):
        list(fed(decoder, encode(music(1.0), "aac", "mp4")))


def test_a_rate_of_1_hz_cannot_fill_memory() -> None:
    slow = bytearray(encode(music(1.0), "pcm_s16le", "wav"))
    at = slow.index(b"fmt ") + 12
    slow[at : at + 8] = (1).to_bytes(4, "little") + (2).to_bytes(4, "little")

    with opened() as decoder, pytest.raises(AudioError, match="expected 4000 Hz or more, got 1 Hz"):
        list(fed(decoder, bytes(slow)))


def test_what_was_decoded_before_the_damage_is_given_first() -> None:
    data = bytearray(written(music(20.0), *FORMATS[3]))
    half = len(data) // 2
    data[half::50] = bytes(255 - b for b in data[half::50])

    with opened() as decoder:
        given: list[Pcm] = []
        with pytest.raises(AudioError, match="cannot be decoded"):
            given.extend(fed(decoder, bytes(data)))

    assert 8.0 < sum(map(duration_s, given)) < 12.0


def test_a_recording_that_breaks_off_is_decoded_up_to_there() -> None:
    data = written(music(10.0), "libopus", "webm", {"live": "1"})

    with opened() as decoder:
        pcm = np.concatenate(list(fed(decoder, data[: len(data) // 2])))

    assert 4.5 < duration_s(pcm) < 5.5


@pytest.mark.parametrize(
    ("codec", "container", "rates"),
    [
        ("libmp3lame", "mp3", (44_100, 48_000)),
        ("libmp3lame", "mp3", (48_000, 16_000)),
        ("aac", "adts", (44_100, 32_000)),
    ],
)
def test_audio_that_changes_its_format_is_decoded_to_its_end(
    codec: str, container: str, rates: tuple[int, int]
) -> None:
    first, then = (
        muxed(container, Track(codec, rate=r, hertz=hz)) for r, hz in zip(rates, (440, 880), strict=True)
    )

    with opened() as decoder:
        pcm = np.concatenate(list(fed(decoder, first + then)))

    assert duration_s(pcm) == pytest.approx(8.0, abs=0.4)
    assert pitch(pcm[-2 * SAMPLE_RATE :]) == pytest.approx(880, abs=2)


@pytest.mark.parametrize(("container", "codec"), [("webm", "libopus"), ("ogg", "libopus"), ("mpegts", "aac")])
@pytest.mark.parametrize(("hole_s", "silence_s"), [(2.0, 2.0), (3_600.0, MAX_HOLE_S)])
def test_a_hole_is_silence_of_a_minute_at_most(
    hole_s: float, silence_s: float, container: str, codec: str
) -> None:
    with opened() as decoder:
        pcm = np.concatenate(list(fed(decoder, muxed(container, Track(codec, late_s=(1.0, hole_s))))))

    assert duration_s(pcm) == pytest.approx(4.0 + silence_s, abs=0.15)
    assert not pcm[round(1.3 * SAMPLE_RATE) : round((silence_s + 0.9) * SAMPLE_RATE)].any()
    assert pitch(pcm[-2 * SAMPLE_RATE :]) == pytest.approx(440, abs=2)


def test_nothing_at_all_is_nothing() -> None:
    with opened() as decoder:
        assert not len(decoder.feed(b""))
        assert not len(decoder.finish())
        assert decoder.ended


def test_a_container_cannot_be_replayed() -> None:
    with closing(decoder_for(Start(encoding="container"))) as decoder:
        samples = sum(map(len, fed(decoder, encode(music(1.0), "libopus", "ogg"))))

        assert not decoder.resumable
        assert decoder.byte_of(0) == decoder.byte_of(samples) == decoder.received
        assert decoder.sample_of(0) == 0
        assert decoder.sample_of(decoder.received) == samples
