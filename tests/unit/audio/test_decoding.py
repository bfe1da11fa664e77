import io
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from voxray.audio import SAMPLE_RATE, Codec, Pcm, decode, duration_s, encode, to_float, to_pcm
from voxray.audio.decoding import probable_s
from voxray.errors import AudioError


def tone(seconds: float, rate: int = SAMPLE_RATE, hertz: float = 440.0) -> Pcm:
    return to_pcm(0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))


def written(pcm: Pcm, rate: int, codec: Codec, container: str, channels: int = 1) -> bytes:
    """`pcm` at `rate`, the same on every channel, as a file's bytes."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    out = io.BytesIO()
    with av.open(out, "w", format=container) as muxer:
        stream = muxer.add_stream(codec, rate=rate, layout=layout)
        packed = np.repeat(pcm, channels).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate = rate
        muxer.mux(stream.encode(frame))
        muxer.mux(stream.encode(None))
    return out.getvalue()


def pitch(pcm: Pcm) -> float:
    """The loudest frequency, in hertz."""
    spectrum = np.abs(np.fft.rfft(to_float(pcm) * np.hanning(len(pcm))))
    return float(np.argmax(spectrum)) * SAMPLE_RATE / len(pcm)


@pytest.mark.parametrize(
    ("codec", "container", "rate", "channels"),
    [
        ("flac", "flac", 8_000, 2),
        ("flac", "flac", 44_100, 1),
        ("libmp3lame", "mp3", 44_100, 2),
        ("libmp3lame", "mp3", 8_000, 1),
        ("libopus", "ogg", 48_000, 1),
        ("libopus", "webm", 48_000, 2),
        ("pcm_f32le", "wav", 32_000, 1),
        ("pcm_s16le", "wav", 96_000, 6),
        ("pcm_mulaw", "wav", 8_000, 1),
        ("aac", "ipod", 44_100, 1),
        ("aac", "mp4", 48_000, 2),
        ("aac", "adts", 16_000, 1),
    ],
)
def test_decodes_every_codec_rate_and_channel_count_to_16_khz_mono(
    codec: Codec, container: str, rate: int, channels: int
) -> None:
    pcm = decode(written(tone(2.0, rate), rate, codec, container, channels))

    assert pcm.dtype == np.int16
    assert pcm.ndim == 1
    assert duration_s(pcm) == pytest.approx(2.0, abs=0.12)  # a lossy codec pads with a frame or two
    assert pitch(pcm) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_half_a_second_is_exactly_8000_samples_at_any_rate(rate: int, channels: int) -> None:
    whole = 2 * round(0.5 * rate / 2)  # 11.025 kHz has no half second in whole samples
    pcm = decode(written(tone(0.5, rate)[:whole], rate, "flac", "flac", channels))

    assert len(pcm) == pytest.approx(8_000, abs=0 if rate != 11_025 else 1)


def test_an_8_khz_clip_of_4000_samples_has_8000_at_16_khz() -> None:
    assert len(decode(written(tone(0.5, 8_000), 8_000, "flac", "flac"))) == 8_000
    assert len(decode(written(tone(0.5, 8_000), 8_000, "pcm_s16le", "wav"))) == 8_000


@given(npst.arrays(np.int16, st.integers(1, 20_000)))
def test_lossless_codecs_return_every_sample(pcm: Pcm) -> None:
    assert np.array_equal(decode(encode(pcm)), pcm)
    assert np.array_equal(decode(encode(pcm, "pcm_s16le", "wav")), pcm)


def test_reads_a_path_as_it_reads_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.flac"
    file.write_bytes(encode(tone(1.0)))

    assert np.array_equal(decode(file), decode(file.read_bytes()))


def test_the_suffix_of_a_file_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(encode(tone(1.0), "libopus", "ogg"))

    assert duration_s(decode(file)) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("codec", "container"),
    [("flac", "flac"), ("pcm_s16le", "wav"), ("pcm_f32le", "wav"), ("pcm_mulaw", "wav"), ("aac", "mp4")],
)
def test_a_file_cut_off_is_refused_where_its_header_promises_more(codec: Codec, container: str) -> None:
    whole = written(tone(3.0), SAMPLE_RATE, codec, container)

    with pytest.raises(AudioError, match=r"clip 7: expected .*(cut off|cannot be decoded)"):
        decode(whole[: len(whole) // 2], name="clip 7")


@pytest.mark.parametrize(("codec", "container"), [("mp2", "mp2"), ("libopus", "ogg"), ("aac", "adts")])
def test_a_stream_cut_off_keeps_what_decodes(codec: Codec, container: str) -> None:
    whole = written(tone(6.0), SAMPLE_RATE, codec, container)

    pcm = decode(whole[: len(whole) * 2 // 3])

    assert 2.5 < duration_s(pcm) < 4.5
    assert pitch(pcm) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    ("codec", "container"),
    [("flac", "flac"), ("pcm_s16le", "wav"), ("pcm_f32le", "wav"), ("pcm_mulaw", "wav")],
)
def test_with_a_warning_a_file_cut_off_gives_what_is_there(codec: Codec, container: str) -> None:
    whole = written(tone(3.0), SAMPLE_RATE, codec, container)
    warnings = list[str]()

    pcm = decode(whole[: len(whole) * 2 // 3], name="clip 7", warn=warnings.append)

    assert duration_s(pcm) == pytest.approx(2.0, abs=0.5)
    assert pitch(pcm) == pytest.approx(440, abs=2)
    (warning,) = warnings
    assert warning.startswith("clip 7: expected ")
    assert "cut off" in warning


def test_a_file_that_cannot_be_decoded_is_refused_also_with_warn() -> None:
    with pytest.raises(AudioError, match="cannot be decoded"):
        decode(encode(tone(1.0), "aac", "mp4")[:400], warn=lambda _: None)


def wav(*, riff: int = 0, data: int = 0, before: bytes = b"", after: bytes = b"", codec: Codec) -> bytes:
    """A second of WAV, its sizes wrong by `riff` and `data` bytes, with chunks around its audio."""
    made = encode(tone(1.0), codec, "wav")
    at = made.index(b"data")
    size = len(made) - at - 8
    body = made[12:at] + before + b"data" + (size + data).to_bytes(4, "little") + made[at + 8 :] + after
    return b"RIFF" + (4 + len(body) + riff).to_bytes(4, "little") + b"WAVE" + body


PICTURE = b"PIC \x00\x20\x00\x00" + bytes(8_192)


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le", "pcm_mulaw"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"riff": 8},
        {"riff": 44},
        {"riff": -8},
        {"riff": 100_000},
        {"data": 8, "riff": 8},
        {"data": 44},
        {"riff": 8, "before": PICTURE},
        {"riff": 36, "after": PICTURE},
    ],
    ids=str,
)
def test_a_wav_with_sizes_a_little_wrong_is_whole(wrong: dict[str, Any], codec: Codec) -> None:
    assert SAMPLE_RATE <= len(decode(wav(codec=codec, **wrong))) < SAMPLE_RATE + 50


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le", "pcm_mulaw"])
@pytest.mark.parametrize("text", [b"abcde", b"x", b"data of an odd length"])
def test_a_wav_without_padding_after_an_odd_chunk_is_whole(text: bytes, codec: Codec) -> None:
    chunk = b"LIST" + len(text).to_bytes(4, "little") + text
    right, wrong = (decode(wav(codec=codec, before=c)) for c in (chunk + b"\0", chunk))

    assert np.array_equal(wrong, right)
    assert len(right) == SAMPLE_RATE


def test_a_wav_whose_last_chunk_is_cut_off_has_all_its_audio() -> None:
    assert len(decode(wav(after=PICTURE, codec="pcm_s16le")[:-4_000])) == SAMPLE_RATE


@pytest.mark.parametrize("before", [b"", PICTURE, b"PIC " + (200_000).to_bytes(4, "little") + bytes(200_000)])
def test_a_wav_whose_audio_is_cut_off_is_refused_wherever_it_begins(before: bytes) -> None:
    with pytest.raises(AudioError, match=r"expected 16000 more bytes .* cut off"):
        decode(wav(before=before, codec="pcm_s16le")[:-16_000])


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0xFFFF_FFFF])
def test_a_wav_written_to_a_pipe_without_its_length_is_whole(size: int) -> None:
    made = bytearray(encode(tone(1.0), "pcm_s16le", "wav"))
    data = made.index(b"data")
    made[4:8] = made[data + 4 : data + 8] = size.to_bytes(4, "little")

    assert len(decode(bytes(made))) == SAMPLE_RATE


FORMATS = [
    ("libmp3lame", "mp3", (44_100, 2), (48_000, 2)),
    ("libmp3lame", "mp3", (44_100, 1), (44_100, 2)),
    ("libmp3lame", "mp3", (48_000, 2), (16_000, 1)),
    ("aac", "adts", (44_100, 2), (48_000, 1)),
]


@pytest.mark.parametrize(("codec", "container", "first", "then"), FORMATS)
def test_audio_that_changes_its_format_is_decoded_to_its_end(
    codec: Codec, container: str, first: tuple[int, int], then: tuple[int, int]
) -> None:
    parts = [
        written(tone(3.0, rate, hertz), rate, codec, container, channels)
        for (rate, channels), hertz in zip((first, then), (440.0, 880.0), strict=True)
    ]

    pcm = decode(b"".join(parts))

    assert duration_s(pcm) == pytest.approx(6.0, abs=0.4)
    assert pitch(pcm[: 2 * SAMPLE_RATE]) == pytest.approx(440, abs=2)
    assert pitch(pcm[-2 * SAMPLE_RATE :]) == pytest.approx(880, abs=2)


@pytest.mark.parametrize("channels", [(2, 1), (1, 2)])
def test_chained_ogg_opus_whose_channels_change_is_damaged_there(channels: tuple[int, int]) -> None:
    chained = b"".join(written(tone(3.0, 48_000), 48_000, "libopus", "ogg", count) for count in channels)
    warnings = list[str]()

    with pytest.raises(AudioError, match=r"cannot be decoded further"):
        decode(chained)
    assert duration_s(decode(chained, warn=warnings.append)) == pytest.approx(3.0, abs=0.1)
    assert ["cannot be decoded further" in warning for warning in warnings] == [True]


def channels_as_wav(channels: Sequence[Pcm], rate: int = SAMPLE_RATE) -> bytes:
    """16-bit WAV of any number of channels, for more of which FFmpeg has no layout."""
    n, body = len(channels), np.stack(channels, axis=1).astype("<i2").tobytes()
    fmt = struct.pack("<HHIIHH", 1, n, rate, rate * n * 2, n * 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


@pytest.mark.parametrize("count", [*range(1, 13), 17, 32, 63])
def test_any_number_of_channels_is_mixed(count: int) -> None:
    pcm = decode(channels_as_wav([tone(1.0)] * count))

    assert len(pcm) == SAMPLE_RATE
    assert pitch(pcm) == pytest.approx(440, abs=2)
    assert np.abs(pcm).max() > 3_000


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("gain", [-1.0, -0.9, -1.1])
def test_of_channels_that_cancel_the_better_one_is_taken(gain: float, rate: int) -> None:
    left = tone(1.0, rate)
    louder = left if abs(gain) <= 1 else left * abs(gain)

    pcm = decode(channels_as_wav([left, (left * gain).astype(np.int16)], rate))

    assert np.abs(pcm[800:-800]).max() == pytest.approx(np.abs(louder).max(), rel=0.02)
    assert pitch(pcm) == pytest.approx(440, abs=2)


def test_channels_that_do_not_cancel_become_their_mean() -> None:
    left, right = tone(1.0, hertz=440.0), tone(1.0, hertz=1_000.0)

    pcm = decode(channels_as_wav([left, right]))

    assert np.array_equal(pcm, to_pcm((to_float(left) + to_float(right)) / 2))
    assert np.array_equal(decode(channels_as_wav([left, left * 0])), to_pcm(to_float(left) / 2))


def test_junk_after_the_last_packet_is_left_out() -> None:
    mp3 = encode(tone(3.0), "libmp3lame", "mp3")

    assert duration_s(decode(mp3 + b"APETAGEX" + bytes(200))) == pytest.approx(3.0, abs=0.12)


def test_damage_all_over_is_refused() -> None:
    flac = bytearray(encode(tone(20.0)))
    flac[2_000::500] = bytes(255 - b for b in flac[2_000::500])

    with pytest.raises(AudioError, match=r"call: expected .* damaged"):
        decode(bytes(flac), name="call")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "got an empty file"),
        (b"Dear diary, this is no audio at all.\n" * 50, "cannot be decoded"),
        (b"\x00" * 4_096, "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 500, "cannot be decoded"),
        (b"RIFF", "cannot be decoded"),
    ],
)
def test_what_is_no_audio_is_named_in_one_sentence(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "diary.wav"
    file.write_bytes(content)

    with pytest.raises(AudioError, match=reason) as caught:
        decode(file)

    assert str(caught.value).startswith(f"{file}: expected audio")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(AudioError, match=r"nowhere\.wav: expected an audio file, .*No such file"):
        decode(Path("nowhere.wav"))


def test_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="got a folder, pipe or device"):
        decode(tmp_path)


def test_a_video_without_sound_is_named() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as muxer:
        stream = muxer.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        muxer.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        muxer.mux(stream.encode(None))

    with pytest.raises(AudioError, match="silent film: expected an audio stream, got none"):
        decode(out.getvalue(), name="silent film")


def test_an_empty_recording_is_named() -> None:
    wav = encode(tone(1.0), "pcm_s16le", "wav")[:78]
    empty = wav[:4] + (len(wav) - 8).to_bytes(4, "little") + wav[8:74] + bytes(4)

    with pytest.raises(AudioError, match="without samples"):
        decode(empty)


def test_more_than_max_s_is_refused() -> None:
    assert len(decode(encode(tone(2.0)), max_s=2.0)) == 2 * SAMPLE_RATE

    with pytest.raises(AudioError, match=r"lecture: expected at most 1\.5 s"):
        decode(encode(tone(2.0)), max_s=1.5, name="lecture")


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{target}\n#EXT-X-ENDLIST\n",
    "m3u": "#EXTM3U\n#EXTINF:2,Canary\n{target}\n",
    "concat": "ffconcat version 1.0\nfile '{target}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="0" bandwidth="1"><BaseURL>{target}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", [".wav", ".m3u8", ".ffconcat"])
def test_a_playlist_never_opens_the_file_that_it_names(kind: str, suffix: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary.wav"
    canary.write_bytes(encode(tone(2.0), "pcm_s16le", "wav"))
    for target in ("canary.wav", str(canary), f"file://{canary}", f"file:{canary}"):
        playlist = tmp_path / f"list{suffix}"
        playlist.write_text(PLAYLISTS[kind].format(target=target, port=5004))

        with pytest.raises(AudioError, match="cannot be decoded"):
            decode(playlist)
        with pytest.raises(AudioError, match="cannot be decoded"):
            decode(playlist.read_bytes())


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_never_connects_to_the_server_that_it_names(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        playlist = PLAYLISTS[kind].format(target=f"http://127.0.0.1:{port}/canary.wav", port=port)

        with pytest.raises(AudioError, match="cannot be decoded"):
            decode(playlist.encode())
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()


DAMAGED: list[tuple[Codec, str]] = [
    ("flac", "flac"),
    ("libopus", "ogg"),
    ("pcm_s16le", "wav"),
    ("libmp3lame", "mp3"),
]


@given(st.data())
def test_damaged_bytes_give_samples_or_an_audio_error(data: st.DataObject) -> None:
    codec, container = data.draw(st.sampled_from(DAMAGED))
    content = bytearray(encode(tone(0.3), codec, container))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pcm = decode(bytes(content), max_s=10.0)
    except AudioError:
        return
    assert pcm.dtype == np.int16
    assert len(pcm) <= 10 * SAMPLE_RATE


def test_samples_are_admitted_before_it_is_kept() -> None:
    admitted = list[int]()
    pcm = decode(encode(tone(3.0), "libopus", "ogg"), admit=admitted.append)

    assert sum(admitted) == len(pcm)
    assert len(admitted) > 100


def test_what_is_not_admitted_is_not_decoded_to_its_end() -> None:
    admitted = list[int]()

    def admit(samples: int) -> None:
        if len(admitted) == 3:
            raise LookupError("full")
        admitted.append(samples)

    with pytest.raises(LookupError, match="full"):
        decode(encode(tone(3.0), "libopus", "ogg"), admit=admit)
    assert len(admitted) == 3


def test_a_header_tells_how_long_a_file_probably_is(tmp_path: Path) -> None:
    recording, text = tmp_path / "a.flac", tmp_path / "b.wav"
    recording.write_bytes(written(tone(1.5), SAMPLE_RATE, "flac", "flac", channels=2))
    text.write_text("Dear diary")

    assert [probable_s(file) for file in (recording, text, tmp_path / "none.wav", tmp_path)] == [1.5, 0, 0, 0]
    assert probable_s(recording, multichannel=True) == 3.0
