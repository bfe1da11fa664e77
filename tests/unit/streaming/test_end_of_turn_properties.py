"""What holds of a session whose endpoints depend on its words, whatever these are."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.scripted_engine import SILENCE, SPEECH, Rehearsal, Script, ScriptedEngine, ScriptedWord

from voxray.audio.constants import SAMPLE_RATE
from voxray.streaming.endpoint import EndpointOptions
from voxray.streaming.events import (
    FRAME,
    DecodeRequest,
    Event,
    Final,
    Hypothesis,
    SessionProgress,
    SpeechEnd,
    SpeechStart,
)
from voxray.streaming.options import SessionOptions
from voxray.streaming.session import Session

RANGE = EndpointOptions(endpoint_ms=1000, min_endpoint_ms=400)
MIN_S, MAX_S, FRAME_S = 0.4, 1.0, FRAME / SAMPLE_RATE
OPTIONS = SessionOptions(endpoint=RANGE, cut_s=12.0)
FIXED = replace(OPTIONS, endpoint=EndpointOptions(endpoint_ms=1000))
PAUSES = [0, 10, 16, 22, 47]  # frames; none is near a bound
LATENCIES_S = st.sampled_from([0.0, 0.05, 0.2, 0.4])


@st.composite
def sentences(draw: st.DrawFn, closing: Sequence[str] = (".", "?", "", ",", "...")) -> Script:
    """A few words, any of which may be the last of a sentence, with pauses of any kind after them."""
    words, at = list[ScriptedWord](), 10
    for i in range(draw(st.integers(1, 8))):
        length, pause = draw(st.integers(6, 16)), draw(st.sampled_from(PAUSES))
        words.append(
            ScriptedWord(f"word{i}{draw(st.sampled_from(closing))}", at * FRAME, (at + length) * FRAME)
        )
        at += length + pause
    return Script(tuple(words), (at + 80) * FRAME)


def timed(script: Script, options: SessionOptions, latency_s: float = 0.05) -> list[tuple[float, Event]]:
    """Play `script` frame by frame; return the events with the times at which they were sent."""
    played = Rehearsal(Session(options), ScriptedEngine(script), (latency_s,))
    pcm, speech = script.pcm(), script.speech()
    events = list[tuple[float, Event]]()
    for i, probability in enumerate(speech):
        played.feed(pcm[i * FRAME : (i + 1) * FRAME], [probability])
        events += ((played.now_s, event) for event in played.events[len(events) :])
    return [(at_s, event) for at_s, event in events if not isinstance(event, SessionProgress)]


def pauses(script: Script) -> list[tuple[float, float]]:
    """Return where each pause begins, and its length, in seconds; that at the end is without limit."""
    starts = [*(w.start / SAMPLE_RATE for w in script.words[1:]), float("inf")]
    return [(w.end / SAMPLE_RATE, s - w.end / SAMPLE_RATE) for w, s in zip(script.words, starts, strict=True)]


@given(sentences(), LATENCIES_S)
def test_no_utterance_ends_before_the_least_silence_nor_goes_on_after_the_most(
    script: Script, latency_s: float
) -> None:
    events = timed(script, OPTIONS, latency_s)
    ends = {round(e.at_s, 3): at_s for at_s, e in events if isinstance(e, SpeechEnd)}
    for at_s, length_s in pauses(script):
        sent_s = ends.pop(round(at_s, 3), None)
        assert sent_s is None or length_s >= MIN_S
        assert sent_s is not None or length_s < MAX_S
        assert sent_s is None or MIN_S <= sent_s - at_s <= MAX_S + 2 * latency_s + FRAME_S
    assert not ends


@given(sentences(), LATENCIES_S)
def test_a_final_takes_no_longer_than_the_most_silence_and_its_decode(
    script: Script, latency_s: float
) -> None:
    """Before that decode there may be one that runs."""
    end_s = 0.0
    for at_s, event in timed(script, OPTIONS, latency_s):
        if isinstance(event, SpeechEnd):
            end_s = event.at_s
        elif isinstance(event, Final):
            assert at_s - end_s <= MAX_S + 2 * latency_s + FRAME_S


@given(sentences(closing=("", ",", "...")), LATENCIES_S)
def test_words_that_are_never_complete_change_nothing(script: Script, latency_s: float) -> None:
    assert timed(script, OPTIONS, latency_s) == timed(script, FIXED, latency_s)


@given(sentences())
def test_speech_without_words_changes_nothing(script: Script) -> None:
    def wordless(request: DecodeRequest) -> Hypothesis:
        return Hypothesis((), avg_logprob=-0.1, no_speech_prob=0.1, compression_ratio=1.0)

    def played(options: SessionOptions) -> list[Event]:
        return Rehearsal(Session(options), wordless).play(script).events

    assert played(OPTIONS) == played(FIXED)


@given(sentences())
def test_complete_sentences_end_at_the_least_silence_and_no_others_do(script: Script) -> None:
    starts = [e for _, e in timed(script, OPTIONS) if isinstance(e, SpeechStart)]
    complete = [w.text.endswith((".", "?")) and not w.text.endswith("...") for w in script.words]
    ended = [
        length_s >= (MIN_S if done else MAX_S)
        for (_, length_s), done in zip(pauses(script), complete, strict=True)
    ]

    assert len(starts) == sum(ended)


@given(sentences(), st.integers(0, 7))
def test_a_session_in_the_place_of_a_lost_one_has_the_same_finals(script: Script, lost_after: int) -> None:
    """Its audio is replayed to it from `keep_from`; frames then begin elsewhere."""
    played = Rehearsal(Session(OPTIONS), ScriptedEngine(script))
    pcm, speech, frame = script.pcm(), script.speech(), 0
    while frame < len(speech) and len(played.finals) <= lost_after:
        played.feed(pcm[frame * FRAME : (frame + 1) * FRAME], speech[frame : frame + 1])
        frame += 1
    at, had = played.session.keep_from, len(played.finals)
    replayed = Rehearsal(Session(OPTIONS, at=at, segment=had), ScriptedEngine(script), now_s=at / SAMPLE_RATE)
    for start in range(at, len(pcm) - FRAME, FRAME):
        heard = pcm[start : start + FRAME]
        replayed.feed(heard, [SPEECH if np.any(heard) else SILENCE])
    whole = Rehearsal(Session(OPTIONS), ScriptedEngine(script)).play(script, [FRAME])

    assert [f.text for f in played.finals + replayed.finals] == [f.text for f in whole.finals]
