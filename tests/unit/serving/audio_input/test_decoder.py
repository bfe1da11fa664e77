import struct
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE, Pcm, resample, to_float, to_pcm
from voxray.errors import AudioError, WireError
from voxray.serving.audio_input.decoder import AudioDecoder, decoder_for
from voxray.serving.audio_input.pcm import Format
from voxray.wire import MAX_CREDIT_BYTES, Encoding, Start

RATES = [4_000, 8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 48_000, 96_000]


def noise(count: int, seed: int = 0) -> Pcm:
    return np.random.default_rng(seed).integers(-20_000, 20_000, count).astype("<i2")


def announced(encoding: Encoding = "pcm_s16le", rate: int = SAMPLE_RATE, channels: int = 1) -> Start:
    return Start(encoding=encoding, sample_rate=rate, channels=channels)


def sent(samples: Pcm, encoding: Encoding = "pcm_s16le") -> bytes:
    return samples.tobytes() if encoding == "pcm_s16le" else to_float(samples).astype("<f4").tobytes()


def decoded(decoder: AudioDecoder, data: bytes, cuts: Sequence[int] = ()) -> Pcm:
    """All samples of `data`, cut at the given places."""
    edges = sorted({0, *(min(c, len(data)) for c in cuts), len(data)})
    pieces = [decoder.feed(data[a:b]) for a, b in pairwise(edges)]
    return np.concatenate([*pieces, decoder.finish()])


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def fmt(tag: int = 1, channels: int = 1, rate: int = SAMPLE_RATE, bits: int = 16) -> bytes:
    block = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)


def extensible(tag: int, bits: int) -> bytes:
    guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
    return fmt(0xFFFE, 1, SAMPLE_RATE, bits) + struct.pack("<HHI", 22, bits, 4) + guid


def wav(
    audio: bytes, form: bytes, *, before: bytes = b"", after: bytes = b"", size: int | None = None
) -> bytes:
    body = b"WAVE" + chunk(b"fmt ", form) + before + chunk(b"data", audio, size) + after
    return chunk(b"RIFF", body, size)


streams = st.fixed_dictionaries(
    {
        "encoding": st.sampled_from(["pcm_s16le", "pcm_f32le"]),
        "rate": st.sampled_from(RATES),
        "channels": st.sampled_from([1, 2, 3, 9]),
    }
)


@given(streams, st.integers(0, 6_000), st.lists(st.integers(0, 60_000), max_size=30), st.booleans())
def test_how_the_bytes_are_cut_changes_no_sample(
    stream: dict[str, object], frames: int, cuts: list[int], header: bool
) -> None:
    start = Start.model_validate(
        {"encoding": stream["encoding"], "sample_rate": stream["rate"], "channels": stream["channels"]}
    )
    data = sent(noise(frames * start.channels), start.encoding)
    if header:
        tag, bits = (1, 16) if start.encoding == "pcm_s16le" else (3, 32)
        data = wav(data, fmt(tag, start.channels, start.sample_rate, bits))

    whole = decoded(decoder_for(start), data)

    assert np.array_equal(decoded(decoder_for(start), data, cuts), whole)


@pytest.mark.parametrize("rate", RATES)
def test_a_stream_of_20_ms_sounds_as_the_whole(rate: int) -> None:
    samples = noise(rate * 2)

    pcm = decoded(decoder_for(announced(rate=rate)), sent(samples), range(0, 4 * rate, rate // 50 * 2))

    assert np.array_equal(pcm, to_pcm(resample(to_float(samples), rate)))


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_telephone_codes_mean_the_samples_that_ffmpeg_reads(encoding: Encoding) -> None:
    codes = bytes(range(256)) * 2
    reading = av.CodecContext.create(f"pcm_{encoding}", "r")
    assert isinstance(reading, av.AudioCodecContext)
    reading.sample_rate, reading.layout = 8_000, "stereo"
    (frame,) = reading.decode(av.Packet(codes))

    samples = Format(encoding, 2, 8_000).samples(codes)

    assert np.array_equal(np.rint(samples * 32_768).ravel(), frame.to_ndarray().ravel())


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_a_telephone_line_sounds_as_the_same_in_pcm(encoding: Encoding) -> None:
    codes = noise(4_000).tobytes()
    samples = (Format(encoding, 1, 8_000).samples(codes) * 32_768).astype("<i2")
    cuts = range(0, len(codes), 160)

    pcm = decoded(decoder_for(announced(encoding, 8_000)), codes, cuts)

    assert np.array_equal(pcm, decoded(decoder_for(announced(rate=8_000)), samples.tobytes()))
    assert Start(encoding=encoding, sample_rate=8_000).bytes_per_second == 8_000


def test_16_khz_mono_is_handed_on_without_a_copy() -> None:
    data = sent(noise(800))

    pcm = decoder_for(announced()).feed(data)

    assert np.array_equal(pcm, noise(800))
    assert np.shares_memory(pcm, np.frombuffer(data, np.int16))


def test_channels_become_their_mean() -> None:
    left, right = noise(500, 1), noise(500, 2)
    mean = np.rint((left.astype(float) + right) / 2)

    pcm = decoded(decoder_for(announced(channels=2)), np.stack([left, right], axis=1).tobytes())

    assert np.array_equal(pcm, mean)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("gain", [-1.0, -0.9, -1.1])
def test_of_channels_that_cancel_the_louder_one_is_taken(rate: int, gain: float) -> None:
    left = noise(rate) // 2
    both = np.stack([left, (left * gain).astype(np.int16)], axis=1)
    start = announced(rate=rate, channels=2)

    pcm = decoded(decoder_for(start), both.tobytes())
    louder = decoded(decoder_for(announced(rate=rate)), both[:, int(gain < -1)].tobytes())

    assert np.array_equal(pcm, louder)
    cut = decoded(decoder_for(start), both.tobytes(), cuts=[1, 7, 999, 5_000, 40_001])
    assert np.array_equal(cut, pcm)
    decoder = decoder_for(start)
    decoder.feed(both.tobytes())
    at = decoder.byte_of(6_000)
    replayed = decoded(decoder_for(start, at_byte=at), both.tobytes()[at:])
    assert np.abs(replayed[6_000 - decoder.sample_of(at) :].astype(int) - pcm[6_000:]).max() <= 1


def test_floats_that_are_no_samples_become_silence_or_full_scale() -> None:
    floats = np.array([np.nan, np.inf, -np.inf, 3e38, -7.0, 0.5, 0.0], dtype="<f4")

    pcm = decoded(decoder_for(announced("pcm_f32le")), floats.tobytes())

    assert pcm.tolist() == [0, 0, 0, 32767, -32768, 16384, 0]


def test_one_bad_float_does_not_spoil_what_follows_in_the_resampler() -> None:
    floats = to_float(noise(48_000)).astype("<f4")
    floats[100] = np.nan
    clean = np.nan_to_num(floats)

    spoilt = decoded(decoder_for(announced("pcm_f32le", 48_000)), floats.tobytes())

    assert np.array_equal(spoilt, to_pcm(resample(clean, 48_000)))


def test_a_trailing_odd_byte_is_dropped() -> None:
    decoder = decoder_for(announced())

    assert np.array_equal(decoded(decoder, sent(noise(100)) + b"\x7f"), noise(100))
    assert decoder.ended
    assert not len(decoder.finish())


# Headers.


@pytest.mark.parametrize("size", [None, 0, 0x7FFF_0000, 0xFFFF_FFFF])
def test_a_header_is_not_played(size: int | None) -> None:
    decoder = decoder_for(announced())

    assert np.array_equal(
        decoded(decoder, wav(sent(noise(300)), fmt(), size=size), [1, 2, 13, 43, 45]), noise(300)
    )
    assert decoder.resumable


TAGS = chunk(b"LIST", b"INFOISFT\x05\0\0\0voxra") + chunk(b"id3 ", bytes(range(256)) * 40)


@pytest.mark.parametrize("count", [300, 301])
@given(cuts=st.lists(st.integers(0, 11_000), max_size=8))
def test_what_follows_the_audio_is_not_played(count: int, cuts: list[int]) -> None:
    audio = noise(count).tobytes()[
        : 2 * count - count % 2
    ]  # also with half a sample, and its pad, at the end
    data = wav(audio, fmt(), after=TAGS)
    decoder = decoder_for(announced())

    assert np.array_equal(decoded(decoder, data, cuts), noise(count)[: len(audio) // 2])
    assert decoder.received == len(data)
    assert decoder.sample_of(len(data)) == len(audio) // 2


def test_there_is_credit_for_any_picture_behind_the_audio() -> None:
    decoder = decoder_for(announced())
    decoder.feed(wav(sent(noise(300)), fmt()))
    for _ in range(100):
        decoder.feed(bytes(100_000))

    assert decoder.credit(1) == MAX_CREDIT_BYTES
    assert decoder.credit(0) == 0
    assert not len(decoder.finish())


@pytest.mark.parametrize(
    ("form", "encoding"),
    [
        (fmt(), "pcm_s16le"),
        (fmt(3, bits=32), "pcm_f32le"),
        (extensible(1, 16), "pcm_s16le"),
        (extensible(3, 32), "pcm_f32le"),
        (fmt() + b"\0\0", "pcm_s16le"),
    ],
)
def test_the_header_gives_what_the_audio_is(form: bytes, encoding: Encoding) -> None:
    decoder = decoder_for(announced("pcm_f32le", 44_100, 2))

    assert np.array_equal(decoded(decoder, wav(sent(noise(300), encoding), form)), noise(300))
    assert not decoder.resumable
    assert decoder.byte_of(200) == decoder.received


def test_chunks_before_the_audio_are_skipped() -> None:
    before = chunk(b"LIST", b"INFOISFT\x05\0\0\0voxra") + chunk(b"junk", bytes(40_000))

    data = wav(sent(noise(300)), fmt(), before=before)

    assert np.array_equal(decoded(decoder_for(announced()), data, range(0, 50_000, 997)), noise(300))


@pytest.mark.parametrize(
    "start", [b"R", b"RI", b"RIFF", b"RIFF1234WAV", b"RIFF1234AVI LIST", b"RIXX", b"WAVE"]
)
def test_audio_that_looks_like_a_header_at_first_is_audio(start: bytes) -> None:
    data = start + bytes(len(start) % 2)

    assert decoded(decoder_for(announced()), data, range(len(data))).tobytes() == data


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (fmt(7, bits=8), "format 7 of 8 bits"),
        (fmt(1, bits=24), "format 1 of 24 bits"),
        (extensible(7, 16), "format 7 of 16 bits"),
        (fmt(0xFFFE), "format 65534 of 16 bits"),
        (fmt(rate=1), "1 at 1 Hz"),
        (fmt(channels=0), "0 at 16000 Hz"),
        (fmt(channels=33), "33 at 16000 Hz"),
        (fmt()[:14], "got 14"),
    ],
)
def test_another_format_is_refused_by_what_its_header(form: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=rf"WAV header: expected .*{message}"):
        decoder_for(announced()).feed(wav(b"", form))


@pytest.mark.parametrize("size", [None, 0xFFFF_FFFF])
def test_a_header_that_does_not_end_is_refused(size: int | None) -> None:
    data = b"RIFF1234WAVE" + chunk(b"fmt ", fmt()) + chunk(b"bext", bytes(70_000), size)

    with pytest.raises(AudioError, match="expected its data within 65536 bytes"):
        decoded(decoder_for(announced()), data, range(0, len(data), 1_000))


def test_a_header_without_its_format_is_refused() -> None:
    with pytest.raises(AudioError, match="expected fmt before data"):
        decoder_for(announced()).feed(b"RIFF1234WAVE" + chunk(b"data", b""))


@pytest.mark.parametrize("length", [12, 30, 43])
def test_a_header_that_was_cut_off_holds_no_audio(length: int) -> None:
    assert not len(decoded(decoder_for(announced()), wav(b"", fmt())[:length]))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6))
def test_a_damaged_header_gives_samples_or_an_audio_error(damage: list[tuple[int, int]]) -> None:
    data = bytearray(wav(bytes(100), fmt(), before=chunk(b"LIST", b"INFO")))
    for at, value in damage:
        data[at] = value
    try:
        pcm = decoded(decoder_for(announced()), bytes(data))
    except AudioError:
        return
    assert len(pcm) <= 4 * len(data) / 2


# Positions.


@given(streams, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**6))
def test_bytes_and_samples_point_at_each_other(
    stream: dict[str, object], one: int, other: int, frame: int
) -> None:
    start = Start.model_validate(
        {"encoding": stream["encoding"], "sample_rate": stream["rate"], "channels": stream["channels"]}
    )
    at = frame * start.frame_bytes
    decoder = decoder_for(start, at)
    first, second = sorted(decoder.sample_of(at) + s for s in (one, other))

    assert decoder.byte_of(first) <= decoder.byte_of(second)
    assert at <= decoder.byte_of(first)
    assert decoder.byte_of(first) % start.frame_bytes == 0
    assert decoder.sample_of(decoder.byte_of(first)) <= first


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le"])
@pytest.mark.parametrize("rate", RATES)
def test_replayed_bytes_give_the_same_samples(rate: int, encoding: Encoding) -> None:
    start = announced(encoding, rate, 2)
    data = sent(noise(rate * 6), encoding)
    before = decoder_for(start)
    output = decoded(before, data)
    wanted = 2 * SAMPLE_RATE + 77
    at = before.byte_of(wanted)

    after = decoder_for(start, at)
    again = decoded(after, data[at:])[wanted - after.sample_of(at) :]

    assert at > 0
    assert np.abs(again.astype(int) - output[wanted:]).max() <= 1
    assert after.received == before.received == len(data)


def test_positions_count_from_the_first_byte_of_the_session() -> None:
    decoder = decoder_for(announced(rate=8_000), at_byte=16_000)

    assert decoder.received == 16_000
    assert decoder.sample_of(16_000) == SAMPLE_RATE
    decoder.feed(bytes(800))
    assert decoder.received == 16_800


def test_positions_in_a_file_count_its_header() -> None:
    decoder = decoder_for(announced())
    decoder.feed(wav(sent(noise(500)), fmt()))

    assert decoder.received == 44 + 1_000
    assert decoder.sample_of(44 + 20) == 10
    assert decoder.byte_of(10) == 44 + 20
    assert decoder.byte_of(0) == decoder.sample_of(0) == decoder.sample_of(44) == 0


def test_a_stream_cannot_go_on_between_two_frames() -> None:
    with pytest.raises(WireError, match=r"from_byte: expected a multiple of 8, got 12"):
        decoder_for(announced("pcm_f32le", channels=2), at_byte=12)


def test_a_container_cannot_go_on_from_its_middle() -> None:
    with pytest.raises(WireError, match=r"from_byte: expected 0, .* got 12"):
        decoder_for(Start(encoding="container"), at_byte=12)


# Credit.


@given(streams, st.integers(1_000, 30_000), st.lists(st.integers(0, 200_000), max_size=5), st.booleans())
def test_bytes_within_the_credit_never_overrun_the_room(
    stream: dict[str, object], room: int, wishes: list[int], resumed: bool
) -> None:
    start = Start.model_validate(
        {"encoding": stream["encoding"], "sample_rate": stream["rate"], "channels": stream["channels"]}
    )
    decoder = decoder_for(start, start.frame_bytes * 777 if resumed else 0)
    output = 0
    for wish in [*wishes, 10**9, 10**9]:
        output += len(decoder.feed(bytes(min(wish, decoder.credit(room - output)))))
    output += len(decoder.finish())

    assert room - SAMPLE_RATE // start.sample_rate - 2 <= output <= room


@pytest.mark.parametrize("rate", [4_000, 8_000])
def test_a_header_cannot_stretch_the_credit_that_was_given_before_it(rate: int) -> None:
    decoder = decoder_for(announced("pcm_f32le", 48_000, 32))
    room = 30 * SAMPLE_RATE

    data = wav(bytes(10**7), fmt(rate=rate))[: decoder.credit(room)]

    assert len(decoded(decoder, data)) <= room
    assert decoder.credit(0) == 0


def test_decoder_of_pcm_does_without_ffmpeg() -> None:
    program = (
        "import sys; from voxray.wire import Start; "
        "from voxray.serving.audio_input.decoder import decoder_for; "
        "decoder_for(Start()).feed(bytes(2)); print('av' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    "head", [b"\x1a\x45\xdf\xa3", b"OggS", b"fLaC", b"ID3\x04"], ids=["webm", "ogg", "flac", "mp3"]
)
def test_a_container_that_is_sent_as_pcm_is_an_error(head: bytes, size: int) -> None:
    decoder, data = decoder_for(Start()), head + bytes(50)

    output = (decoder.feed(data[at : at + size]) for at in range(0, len(data), size))

    with pytest.raises(AudioError, match=r"expected pcm_s16le, got a \w+ file; send it with encoding con"):
        list(output)


def test_what_only_begins_as_a_container_is_audio() -> None:
    decoder = decoder_for(Start())
    output = [decoder.feed(b"O"), decoder.feed(b"gg"), decoder.feed(b"t"), decoder.finish()]

    assert np.concatenate(output).tobytes() == b"Oggt"
