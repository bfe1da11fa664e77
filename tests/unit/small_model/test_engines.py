"""What every engine must do, on those that are installed."""

from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from tests.small_model.synthesis.engines import Engines
from tests.small_model.synthesis.espeak import WordEvent, word_starts
from tests.small_model.synthesis.grammar import sentence
from tests.small_model.synthesis.speech import Manner, draw_manner
from tests.small_model.synthesis.voices import Voice

from voxray.audio import SAMPLE_RATE
from voxray.errors import MissingDependency, ModelError

VOICES = (
    Voice("espeak-ng", "en-us+f2"),
    Voice("flite", "kal16"),
    Voice("flite", "slt"),
    Voice("festival", "kal_diphone"),
    Voice("festival", "ked_diphone"),
    Voice("festival", "cmu_us_slt_arctic_hts"),
)
TEXT = "Set an alarm for twenty-five past seven in the morning, please."


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    with Engines() as opened:
        yield opened


@pytest.fixture(params=VOICES, ids=lambda v: v.id)
def voice(request: pytest.FixtureRequest, engines: Engines) -> Voice:
    chosen: Voice = request.param
    try:
        engines.speak("one", chosen, Manner())
    except MissingDependency as e:
        pytest.skip(str(e))
    return chosen


def test_speaks_at_a_plausible_pace(engines: Engines, voice: Voice) -> None:
    pcm = engines.speak(TEXT, voice, Manner()).pcm
    assert pcm.dtype == np.int16
    assert 2.5 < len(pcm) / SAMPLE_RATE < 6.0
    assert np.abs(pcm).max() > 2000


def test_words_are_the_tokens_of_the_text(engines: Engines, voice: Voice) -> None:
    rng = Random(1)
    for _ in range(10):
        text = sentence(rng)
        spoken = engines.speak(text, voice, draw_manner(rng))
        assert [w.text for w in spoken.words] == text.split()


def test_words_follow_one_another_inside_the_sound(engines: Engines, voice: Voice) -> None:
    spoken = engines.speak(TEXT, voice, Manner())
    edges = [edge for w in spoken.words for edge in (w.start_s, w.end_s)]
    assert edges == sorted(edges)
    assert all(w.end_s - w.start_s > 0.02 for w in spoken.words)
    assert edges[0] >= 0
    assert edges[-1] <= len(spoken.pcm) / SAMPLE_RATE


def test_speed_shortens_the_speech(engines: Engines, voice: Voice) -> None:
    slow, fast = (len(engines.speak(TEXT, voice, Manner(speed=s)).pcm) for s in (0.8, 1.3))
    assert 1.3 < slow / fast < 1.9


def test_gap_lengthens_espeak_only_between_words(engines: Engines) -> None:
    try:
        plain, gapped = (
            engines.speak("one two three four", VOICES[0], Manner(gap_s=g)).pcm for g in (0.0, 0.2)
        )
    except MissingDependency as e:
        pytest.skip(str(e))
    assert 0.5 < (len(gapped) - len(plain)) / SAMPLE_RATE < 1.1


@pytest.mark.parametrize("unknown", [Voice("espeak-ng", "xx-none"), Voice("flite", "nobody")])
def test_unknown_voice_is_named(engines: Engines, unknown: Voice) -> None:
    try:
        with pytest.raises(ModelError, match=unknown.name):
            engines.speak("one", unknown, Manner())
    except MissingDependency as e:
        pytest.skip(str(e))


def test_missing_festival_voice_names_what_to_install(engines: Engines) -> None:
    with pytest.raises(MissingDependency, match=r"install the Debian package"):
        engines.speak("one", Voice("festival", "nobody_diphone"), Manner())


def test_missing_program_names_the_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependency, match="Debian package festival"):
        Engines().speak("one", VOICES[3], Manner())


def test_word_starts_take_the_first_event_of_a_hyphenated_token() -> None:
    events = [WordEvent(0, 0.0), WordEvent(7, 0.4), WordEvent(12, 0.7)]
    assert word_starts("twenty-five past", events, 1.0) == [0.0, 0.7]


def test_word_starts_share_out_a_pair_spoken_as_one() -> None:
    events = [WordEvent(0, 0.0), WordEvent(5, 0.4), WordEvent(12, 0.9)]
    assert word_starts("open in the box", events, 1.5) == pytest.approx([0.0, 0.4, 0.6, 0.9])


def test_no_word_starts_where_two_tokens_in_a_row_have_none() -> None:
    assert word_starts("one two three four", [WordEvent(0, 0.0), WordEvent(14, 0.9)], 1.5) == []
