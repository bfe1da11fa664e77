"""Cutting a recording at its pauses: what is decided from spans, and the model on real sound."""

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_CLIPS

from voxray.audio import MAX_HOLE_S, SAMPLE_RATE, Block, Pcm, decode, quietest_s
from voxray.speech import (
    Span,
    cut_at_pauses,
    join_spans,
    lengths_within,
    pad_spans,
    sections,
    speech_spans,
    split_long,
)

MAX_S = 30.0


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    """Speech in order, each stretch at most `MAX_S`, with pauses between."""
    steps = draw(st.lists(st.tuples(st.floats(0, 5), st.floats(0.05, MAX_S)), max_size=30))
    at_s, found = 0.0, []
    for pause_s, length_s in steps:
        found.append(Span(at_s + pause_s, at_s + pause_s + length_s))
        at_s = found[-1].end_s
    return found


def noise(seconds: float, amplitude: float, seed: int = 0) -> Pcm:
    samples = np.random.default_rng(seed).normal(size=round(seconds * SAMPLE_RATE)) * amplitude
    return samples.astype(np.int16)


@given(spans(), st.none() | st.floats(0, 5))
def test_windows_hold_every_span_whole_in_one_window_and_no_window_is_too_long(
    speech: list[Span], max_pause_s: float | None
) -> None:
    windows = join_spans(speech, MAX_S, max_pause_s)
    assert all(w.length_s <= MAX_S + 1e-9 for w in windows)
    assert all(a.end_s <= b.start_s for a, b in pairwise(windows))
    for span in speech:
        assert sum(w.start_s <= span.start_s and span.end_s <= w.end_s for w in windows) == 1


@given(spans(), st.floats(0.01, 3))
def test_a_window_bridges_no_pause_longer_than_allowed(speech: list[Span], max_pause_s: float) -> None:
    windows = join_spans(speech, MAX_S, max_pause_s)
    for a, b in pairwise(speech):
        if b.start_s - a.end_s > max_pause_s:
            assert not any(w.start_s <= a.start_s and b.end_s <= w.end_s for w in windows)


def test_a_full_window_is_cut_at_the_longest_pause_of_its_second_half() -> None:
    speech = [Span(0, 4), Span(8, 16), Span(17, 20), Span(22, 27), Span(27.5, 33)]
    assert join_spans(speech, 30.0) == [Span(0, 20), Span(22, 33)]


@given(spans(), st.floats(0, 1), st.floats(0, 3))
def test_padding_never_overlaps_never_passes_the_limit_and_loses_no_speech(
    speech: list[Span], pad_s: float, after_s: float
) -> None:
    lasts_s = (speech[-1].end_s if speech else 0.0) + after_s
    padded = pad_spans(speech, pad_s, MAX_S, lasts_s)
    assert all(p.start_s <= s.start_s and s.end_s <= p.end_s for p, s in zip(padded, speech, strict=True))
    assert all(p.length_s <= max(MAX_S, s.length_s) + 1e-9 for p, s in zip(padded, speech, strict=True))
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(padded))
    assert all(p.start_s >= -1e-9 and p.end_s <= lasts_s + 1e-9 for p in padded)


def test_speech_longer_than_the_limit_is_cut_in_its_quietest_place() -> None:
    pcm = noise(8.0, 3000)
    pcm[round(4.2 * SAMPLE_RATE) : round(4.3 * SAMPLE_RATE)] = 0
    first, second = split_long(pcm, [Span(0.0, 8.0)], 5.0)
    assert first.end_s == pytest.approx(4.25, abs=0.005)
    assert (first.start_s, second) == (0.0, Span(first.end_s, 8.0))


@given(st.floats(0.3, 20), st.floats(0.2, 5))
def test_pieces_of_long_speech_join_up_and_none_is_too_long(length_s: float, max_s: float) -> None:
    pieces = split_long(noise(length_s, 1000), [Span(0.0, length_s)], max_s)
    assert (pieces[0].start_s, pieces[-1].end_s) == (0.0, length_s)
    assert all(a.end_s == b.start_s for a, b in pairwise(pieces))
    assert all(0 < p.length_s <= max_s + 1e-9 for p in pieces)


def test_the_quietest_place_is_found_in_a_stretch_shorter_than_the_measure() -> None:
    assert 0.0 <= quietest_s(noise(0.05, 100), 0.0, 0.05) <= 0.05


@pytest.mark.parametrize("amplitude", [0, 30, 300, 3000])
def test_silence_and_white_noise_are_no_speech(amplitude: float) -> None:
    assert speech_spans(noise(10.0, amplitude)) == []
    assert cut_at_pauses(noise(10.0, amplitude)) == []


def test_nothing_holds_no_speech() -> None:
    assert cut_at_pauses(np.zeros(0, np.int16)) == []


@given(spans())
def test_windows_know_how_much_speech_they_hold(speech: list[Span]) -> None:
    windows = join_spans(speech, MAX_S)
    held = lengths_within(speech, windows)

    assert sum(held) == pytest.approx(sum(s.length_s for s in speech))
    for window, length_s in zip(windows, held, strict=True):
        inside = [s.length_s for s in speech if window.start_s <= s.start_s and s.end_s <= window.end_s]
        assert length_s == pytest.approx(sum(inside))


def sounds() -> dict[str, Pcm]:
    """Half a minute each of what is no speech."""
    random = np.random.default_rng(0)
    time_s = np.arange(30 * SAMPLE_RATE) / SAMPLE_RATE
    beats = np.exp(-6 * (time_s % 0.5))
    chord = sum(np.sin(2 * np.pi * f * time_s) for f in (220.0, 277.2, 329.6))
    made = {
        "silence": np.zeros(len(time_s)),
        "white noise": 1600 * random.standard_normal(len(time_s)),
        "hum": 6500 * np.sin(2 * np.pi * 50 * time_s) + 160 * random.standard_normal(len(time_s)),
        "a sweep": 9800 * np.sin(2 * np.pi * (200 + 5 * time_s) * time_s),
        "beeps": 9800 * np.sin(2 * np.pi * 440 * time_s) * (time_s % 1 < 0.3),
        "chords": 3000 * chord * beats,
        "drums": 8000 * random.standard_normal(len(time_s)) * beats,
    }
    return {name: samples.astype(np.int16) for name, samples in made.items()}


@pytest.mark.parametrize(("name", "pcm"), sounds().items())
@pytest.mark.parametrize("max_pause_s", [0.6, None])
def test_no_window_is_made_of_noise_or_music(name: str, pcm: Pcm, max_pause_s: float | None) -> None:
    assert cut_at_pauses(pcm, max_pause_s=max_pause_s) == []


def blocks_of(pcm: Pcm, size: int = 16_000, start: int = 0) -> Iterator[Block]:
    for at in range(0, len(pcm), size):
        yield Block(start + at, pcm[at : at + size])


def test_sections_hold_every_sample_and_end_in_pauses() -> None:
    pause = np.zeros(2 * SAMPLE_RATE, np.int16)
    clip = next(iter(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))))
    said = np.tile(np.concatenate([decode(clip), pause]), 30)

    found = list(sections(blocks_of(said), section_s=20.0))

    assert np.array_equal(np.concatenate([s.pcm for s in found]), said)
    assert [s.start for s in found[1:]] == [s.end for s in found[:-1]]
    assert all(10.0 <= len(s.pcm) / SAMPLE_RATE <= 20.0 for s in found[:-1])
    for section in found[:-1]:
        assert not section.pcm[-SAMPLE_RATE // 2 :].any()


def test_sections_without_a_pause_are_cut_in_the_quietest_place() -> None:
    loud = noise(50.0, 0.3)
    found = list(sections(blocks_of(loud), section_s=20.0))

    assert np.array_equal(np.concatenate([s.pcm for s in found]), loud)
    assert max(len(s.pcm) for s in found) <= 20 * SAMPLE_RATE


def test_short_holes_are_silence_and_long_ones_end_a_section() -> None:
    second = np.ones(SAMPLE_RATE, np.int16)
    starts = [5, 8, 8 + 1 + MAX_HOLE_S, 8 + 2 + 2 * MAX_HOLE_S + 1, 400_000]

    found = list(sections(Block(round(s * SAMPLE_RATE), second) for s in starts))

    assert [s.start / SAMPLE_RATE for s in found] == [0, starts[3], 400_000]
    assert [len(s.pcm) / SAMPLE_RATE for s in found] == [starts[2] + 1, 1, 1]
    assert found[0].pcm.sum() == 3 * SAMPLE_RATE


def test_a_long_recording_is_cut_with_a_few_sections_in_memory() -> None:
    minute, section_s = np.zeros(60 * SAMPLE_RATE, np.int16), 300.0
    blocks = (Block(i * len(minute), minute) for i in range(25))
    speech_spans(minute)  # imports and loads what stays in memory
    tracemalloc.start()
    try:
        lengths = [len(s.pcm) for s in sections(blocks, section_s)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert sum(lengths) == 25 * len(minute)
    assert peak < 5 * section_s * SAMPLE_RATE * 2
