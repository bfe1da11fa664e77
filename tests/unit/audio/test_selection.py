"""One track of several, one channel of several, and the mix of all."""

import numpy as np
import pytest
from tests.unit.audio.files import Track, channels_as_wav, muxed, pitch, tone

from voxray.audio import SAMPLE_RATE, Selection, channel_count, decode
from voxray.errors import AudioError

TONES = [440.0, 700.0, 1_100.0, 1_700.0, 2_300.0, 3_100.0]


@pytest.mark.parametrize("container", ["matroska", "mov", "mp4"])
@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_default_track_is_decoded_wherever_it_is(default: int, container: str) -> None:
    tracks = [Track("aac", hertz=hz, default=i == default) for i, hz in enumerate(TONES[:3])]

    assert pitch(decode(muxed(container, *tracks))) == pytest.approx(TONES[default], abs=2)


@pytest.mark.parametrize(("container", "codec"), [("matroska", "libopus"), ("mp4", "aac"), ("mpegts", "mp2")])
@pytest.mark.parametrize("track", [1, 2, 3])
def test_a_track_is_chosen_by_its_number(track: int, container: str, codec: str) -> None:
    data = muxed(container, *(Track(codec, hertz=hz) for hz in TONES[:3]), video=True)

    pcm = decode(data, selection=Selection(track=track))
    assert pitch(pcm) == pytest.approx(TONES[track - 1], abs=2)


@pytest.mark.parametrize("track", [0, 3, -1])
def test_a_track_that_is_not_there_is_named_beside_those_that_are(track: int) -> None:
    data = muxed("matroska", Track("libopus", title="Film"), Track("libopus", title="Commentary"))

    with pytest.raises(AudioError, match=rf"film: .* \(1 Film, 2 Commentary\), got track {track}"):
        decode(data, name="film", selection=Selection(track=track))


@pytest.mark.parametrize("count", [1, 2, 3, 6, 9])
def test_each_channel_is_decoded_by_itself(count: int) -> None:
    channels = [tone(1.0, hertz=TONES[i % 6]) for i in range(count)]
    data = channels_as_wav(channels)

    assert channel_count(data) == count
    for i, channel in enumerate(channels):
        assert np.abs(decode(data, selection=Selection(channel=i)) - channel).max() <= 1


def test_a_channel_beyond_the_last_is_silent() -> None:
    data = channels_as_wav([tone(1.0)])

    assert not decode(data, selection=Selection(channel=1)).any()


SURROUND = 0x3F  # front left, right and centre, LFE, back left and right


@pytest.mark.parametrize("sounding", [0, 1, 2, 4, 5])
def test_one_sounding_channel_of_six_is_heard(sounding: int) -> None:
    silent = np.zeros(SAMPLE_RATE, np.int16)
    pcm = decode(channels_as_wav([tone(1.0) if i == sounding else silent for i in range(6)], SURROUND))

    assert pitch(pcm) == pytest.approx(440, abs=2)
    assert np.abs(pcm).max() > 1_500


@pytest.mark.parametrize("cancelling", [(0, 1), (4, 5)])
def test_of_surround_channels_that_cancel_the_better_one_is_taken(cancelling: tuple[int, int]) -> None:
    channels = [np.zeros(SAMPLE_RATE, np.int16) for _ in range(6)]
    channels[cancelling[0]], channels[cancelling[1]] = tone(1.0), -tone(1.0)

    assert np.abs(decode(channels_as_wav(channels, SURROUND))).max() > 9_000


def test_the_bass_channel_is_left_out_of_the_mix() -> None:
    channels = [np.zeros(SAMPLE_RATE, np.int16) for _ in range(6)]
    channels[2], channels[3] = tone(1.0), tone(1.0, hertz=60.0)

    assert pitch(decode(channels_as_wav(channels, SURROUND))) == pytest.approx(440, abs=2)
