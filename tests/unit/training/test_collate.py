from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL

from voxray.audio import SAMPLE_RATE, WINDOW_SAMPLES, to_float
from voxray.corpora.store import Clip
from voxray.errors import TrainingError
from voxray.training.augment import AugmentOptions
from voxray.training.collate import (
    Example,
    LabelOptions,
    bounds_s,
    collate,
    example,
    joined,
    masked,
)
from voxray.training.plan import PlannedWindow
from voxray.transcript import Segment, Word
from voxray.whisper.ctranslate import WINDOWS_S
from voxray.whisper.labels import IGNORED, Label
from voxray.whisper.tokens import MAX_LABEL_TOKENS, Tokens

TOKENS = Tokens.load(SMALL_MODEL)
TIMED, UNTIMED = LabelOptions(timestamp_probability=1.0), LabelOptions(timestamp_probability=0.0)
WORDS = (Word("turn", 0.2, 0.5), Word("on", 0.6, 0.9), Word("now", 1.0, 1.4))
CLIP = Clip("c", (np.arange(24_000) % 999).astype(np.int16), "turn on now", "anna", "en", WORDS)


def window(count: int = 1, **values: object) -> PlannedWindow:
    plain = PlannedWindow(tuple(range(count)), (0.5,) * (count - 1), 1.0, 1.5, cut=False, full=False, seed=7)
    return replace(plain, **values)  # type: ignore[arg-type]  # any of its fields


def made(clips: list[Clip], of: PlannedWindow, labels: LabelOptions = UNTIMED) -> Example:
    return example(clips, of, TOKENS, labels, AugmentOptions())


def sized(samples: int, tokens: int = 3, full: bool = False) -> Example:
    """An example of any length whose label has `tokens` positions and ends as all do."""
    ids = (TOKENS.start, *[5] * (tokens - 1), TOKENS.end)
    return Example(np.ones(samples, np.float32), Label(ids[:-1], ids[1:]), (5,) * (tokens - 1), full)


# Examples: one planned window


def test_a_plain_window_is_its_clip() -> None:
    one = made([CLIP], window())
    assert np.array_equal(one.samples, to_float(CLIP.pcm))
    assert one.label.inputs == (*TOKENS.prompt("en"), *TOKENS.encode(" turn on now"))
    assert one.text_ids == tuple(TOKENS.encode(" turn on now"))


def test_a_label_has_one_start_token_and_no_previous_text() -> None:
    for labels in (TIMED, UNTIMED):
        inputs = made([CLIP, CLIP], window(2), labels).label.inputs
        assert inputs.count(TOKENS.start) == 1
        assert inputs.count(TOKENS.previous) == 0


def test_the_same_window_is_the_same_example_and_another_seed_another() -> None:
    augment = AugmentOptions(noise=1.0)
    a, b, c = (example([CLIP], window(seed=s), TOKENS, TIMED, augment) for s in (7, 7, 8))
    assert np.array_equal(a.samples, b.samples)
    assert a.label == b.label
    assert not np.array_equal(a.samples, c.samples)


def times(one: Example) -> list[float]:
    return [TOKENS.seconds(t) for t in one.label.inputs if TOKENS.is_timestamp(t)]


def test_times_span_the_words() -> None:
    assert times(made([CLIP], window(), TIMED)) == [0.2, 1.4]


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_times_follow_the_speed(speed: float) -> None:
    one = made([CLIP], window(speed=speed), TIMED)
    assert times(one) == pytest.approx([0.2 / speed, 1.4 / speed], abs=0.011)
    assert len(one.samples) == pytest.approx(24_000 / speed, abs=2)


def test_times_of_joined_clips_follow_the_clips_and_pauses_before_them() -> None:
    one = made([CLIP, CLIP], window(2), TIMED)
    assert times(one) == pytest.approx([0.2, 1.4, 2.2, 3.4], abs=0.011)
    assert len(one.samples) == 24_000 * 2 + 8_000
    assert np.array_equal(one.samples[-24_000:], to_float(CLIP.pcm))
    assert TOKENS.decode(one.label.inputs).split() == ["turn", "on", "now"] * 2


SEGMENTED = replace(CLIP, segments=(Segment(0.1, 0.94, "turn on"), Segment(0.94, 1.44, "now")))


def test_each_segment_has_its_own_pair_of_times() -> None:
    assert times(made([SEGMENTED], window(), TIMED)) == pytest.approx([0.1, 0.94, 0.94, 1.44])
    assert times(made([SEGMENTED, CLIP], window(2), TIMED)) == pytest.approx(
        [0.1, 0.94, 0.94, 1.44, 2.2, 3.4], abs=0.011
    )
    assert TOKENS.decode(made([SEGMENTED], window(), UNTIMED).label.inputs).split() == ["turn", "on", "now"]


def test_a_segment_over_the_whole_clip_gives_no_times_and_another_one_does() -> None:
    assert times(made([replace(CLIP, segments=(Segment(0.0, 1.5, CLIP.text),))], window(), TIMED)) == [
        0.2,
        1.4,
    ]
    assert times(made([replace(CLIP, segments=(Segment(0.1, 1.5, CLIP.text),))], window(), TIMED)) == [
        0.1,
        1.5,
    ]


@given(st.floats(0.8, 1.25), st.booleans(), st.integers(0, 99))
def test_times_of_segments_rise_within_the_window_and_their_text_is_the_clips(
    speed: float, is_cut: bool, seed: int
) -> None:
    one = made([SEGMENTED], window(speed=speed, cut=is_cut, seed=seed), TIMED)
    found = times(one)

    assert found == sorted(found)
    assert all(0 <= t <= len(one.samples) / SAMPLE_RATE + 0.011 for t in found)
    assert len(found) % 2 == 0
    spoken = [t for t in one.label.inputs if not TOKENS.is_timestamp(t)]
    assert TOKENS.decode(spoken).split() == TOKENS.decode(one.text_ids).split()
    if not is_cut:
        assert found == pytest.approx([t / speed for t in (0.1, 0.94, 0.94, 1.44)], abs=0.011)


# Labels: what is known of a clip besides its text

ALWAYS = LabelOptions(timestamp_probability=0.0, previous_text_probability=1.0)


def test_a_label_may_begin_with_the_text_before_which_is_no_target() -> None:
    one = made([replace(CLIP, previous="dim the lamp")], window(), ALWAYS)
    previous = TOKENS.encode(" dim the lamp")
    assert one.label.inputs == (
        *(TOKENS.previous, *previous, *TOKENS.prompt("en")),
        *TOKENS.encode(" turn on now"),
    )
    ignored = len(previous) + 1  # the previous text and the start token
    assert set(one.label.targets[:ignored]) == {IGNORED}
    assert one.label.targets[ignored:] == (*one.label.inputs[ignored + 1 :], TOKENS.end)


def test_about_a_fifth_of_the_labels_begin_with_the_text_before_where_it_is_known() -> None:
    clip = replace(CLIP, previous="dim the lamp")
    found = [TOKENS.previous in made([clip], window(seed=s), LabelOptions()).label.inputs for s in range(300)]
    assert 35 < sum(found) < 85
    assert TOKENS.previous not in made([CLIP], window(), ALWAYS).label.inputs


@given(st.integers(0, 500), st.integers(1, 430), st.booleans())
def test_labels_with_a_text_before_fit_whatever_its_length(before: int, spoken: int, timed: bool) -> None:
    clip = replace(CLIP, text="now " * spoken, previous="lamp " * before)
    options = LabelOptions(timestamp_probability=float(timed), previous_text_probability=1.0)
    one = made([clip], window(), options).label

    assert len(one.inputs) == len(one.targets) < MAX_LABEL_TOKENS
    assert one.inputs.count(TOKENS.start) == 1
    start = one.inputs.index(TOKENS.start)
    assert start <= 224  # <|startofprev|> and at most 223 tokens
    assert set(one.targets[:start]) <= {IGNORED}
    assert TOKENS.start not in one.targets
    if start:
        assert one.inputs[0] == TOKENS.previous
        assert TOKENS.previous not in one.inputs[1:]


@pytest.mark.parametrize("labels", [TIMED, UNTIMED, ALWAYS])
@pytest.mark.parametrize("text", ["turn on now", ""])
def test_translations_are_learned_under_their_own_task(labels: LabelOptions, text: str) -> None:
    clip = replace(CLIP, text=text, words=() if not text else WORDS, task="translate", language="de")
    seen = {t for seed in range(8) for t in made([clip], window(seed=seed), labels).label.inputs}
    assert TOKENS.tasks["translate"] in seen
    assert TOKENS.tasks["transcribe"] not in seen


def test_silence_is_learned_in_the_language_and_task_of_the_clips() -> None:
    like = replace(CLIP, task="translate", language="de")
    silent = replace(window(), clips=(), like=0)
    seen = {t for seed in range(8) for t in made([like], replace(silent, seed=seed), TIMED).label.inputs}
    assert {TOKENS.tasks["translate"], TOKENS.languages["de"]} <= seen
    assert TOKENS.languages["en"] not in seen


def test_texts_of_a_language_without_spaces_are_joined_without_them() -> None:
    clip = replace(CLIP, text="あ", words=(), language="ja")
    assert made([clip, clip], window(2)).text_ids == tuple(TOKENS.encode(" ああ"))
    english = replace(clip, text="red", task="translate")
    assert made([english, english], window(2)).text_ids == tuple(TOKENS.encode(" red red"))


def test_about_half_of_the_labels_have_times_by_default() -> None:
    timed = [bool(times(made([CLIP], window(seed=s), LabelOptions()))) for s in range(200)]
    assert 70 < sum(timed) < 130


def test_a_cut_window_has_the_words_that_are_wholly_in_it() -> None:
    kept_texts = set()
    for seed in range(60):
        one = made([CLIP], window(cut=True, seed=seed))
        text = TOKENS.decode(one.label.inputs).strip()
        assert len(one.samples) < len(CLIP.pcm)
        assert text in "turn on now"
        assert tuple(TOKENS.encode(f" {text}") if text else []) == one.text_ids
        kept_texts.add(text)
    assert {"turn", "turn on"} < kept_texts
    assert all("turn" not in t for t in kept_texts if not t.startswith("turn"))


@given(st.integers(0, 99))
def test_a_window_without_speech_ends_at_once(seed: int) -> None:
    one = made([], window(0, pauses_s=(), length_s=2.5, seed=seed))
    assert len(one.samples) == 40_000
    assert np.abs(one.samples).max() <= 1.0
    assert one.text_ids == ()
    assert list(one.label.inputs) in ([TOKENS.start, TOKENS.no_speech], TOKENS.prompt("en"))
    assert one.label.targets[-1] == TOKENS.end


def test_windows_without_speech_have_both_labels_and_some_are_digital_silence() -> None:
    many = [made([], window(0, pauses_s=(), seed=seed)) for seed in range(100)]
    assert 25 < sum(TOKENS.no_speech in one.label.inputs for one in many) < 75
    assert 1 <= sum(not one.samples.any() for one in many) < 30


def test_a_clip_without_words_is_no_speech() -> None:
    one = made([replace(CLIP, text="", words=())], window())
    assert list(one.label.inputs) in ([TOKENS.start, TOKENS.no_speech], TOKENS.prompt("en"))


def test_a_text_that_does_not_fit_with_times_is_learned_without_them() -> None:
    count = 1
    while len(TOKENS.prompt("en")) + len(TOKENS.encode(" nine" * (count + 1))) + 1 <= MAX_LABEL_TOKENS:
        count += 1
    one = made([replace(CLIP, text=" ".join(["nine"] * count))], window(), TIMED)
    assert times(one) == []
    assert TOKENS.decode(one.label.inputs).split() == ["nine"] * count


def test_a_text_that_does_not_fit_at_all_is_not_learned_least_of_all_as_silence() -> None:
    one = made([replace(CLIP, text="nine " * 900)], window())
    assert set(one.label.targets) == {IGNORED}
    assert len(one.label.inputs) == len(one.label.targets)


def test_a_clip_of_exactly_30_s_is_learned_whole() -> None:
    whole = Clip(
        "c", np.ones(WINDOW_SAMPLES, np.int16), "turn on", words=(Word("turn", 1, 2), Word("on", 29, 30))
    )
    batch = collate([made([whole], window(length_s=30.0), TIMED)], TOKENS.end)
    assert batch.lengths_B.tolist() == [WINDOW_SAMPLES]
    assert batch.samples_BT.shape == (1, WINDOW_SAMPLES)
    assert TOKENS.timestamp(30.0) in batch.targets_BL


def test_speech_without_word_times_is_bounded_by_its_level() -> None:
    pcm = np.zeros(32_000, np.int16)
    pcm[8_000:16_000] = np.random.default_rng(0).integers(-9000, 9000, 8_000)
    assert bounds_s(Clip("c", pcm, "turn")) == (0.5, 1.0)
    assert bounds_s(Clip("c", np.zeros(32_000, np.int16), "turn")) == (0.0, 2.0)
    assert bounds_s(Clip("c", pcm[:100], "turn")) == (0.0, 100 / SAMPLE_RATE)


def test_pauses_between_joined_clips_are_faint() -> None:
    samples, segments = joined([CLIP, CLIP], (0.5,), np.random.default_rng(0))
    pause = samples[24_000:32_000]
    assert 0 < np.abs(pause).max() < 1e-3
    assert [s.text for s in segments] == ["turn on now"] * 2


# Batches: examples side by side

sizes = st.lists(st.tuples(st.integers(1, 8 * SAMPLE_RATE), st.integers(1, 40)), min_size=1, max_size=4)


@given(sizes)
def test_a_batch_is_padded_to_its_longest_and_to_8_positions(shapes: list[tuple[int, int]]) -> None:
    examples = [sized(samples, tokens) for samples, tokens in shapes]
    batch = collate(examples, TOKENS.end)
    longest = max(tokens for _, tokens in shapes)
    assert batch.inputs_BL.shape == batch.targets_BL.shape == (len(shapes), -(-longest // 8) * 8)
    assert batch.inputs_BL.shape[1] < MAX_LABEL_TOKENS
    for row, (samples, tokens) in enumerate(shapes):
        assert batch.lengths_B[row] == samples
        assert batch.samples_BT[row].sum() == samples
        assert tuple(batch.inputs_BL[row, :tokens].tolist()) == examples[row].label.inputs
        assert set(batch.inputs_BL[row, tokens:].tolist()) <= {TOKENS.end}
        assert tuple(batch.text_BS[row].tolist())[: tokens - 1] == examples[row].text_ids
        assert set(batch.text_BS[row, tokens - 1 :].tolist()) <= {IGNORED}
    assert batch.positions == sum(tokens for _, tokens in shapes)
    assert batch.audio_s == pytest.approx(sum(samples for samples, _ in shapes) / SAMPLE_RATE)


def test_padding_is_masked_by_length_so_that_the_first_end_is_learned() -> None:
    batch = collate([sized(100, 3), sized(100, 10)], TOKENS.end)
    assert batch.targets_BL[0].tolist() == [5, 5, TOKENS.end] + [IGNORED] * 13
    assert batch.inputs_BL[0].tolist() == [TOKENS.start, 5, 5] + [TOKENS.end] * 13
    assert (batch.targets_BL == TOKENS.end).sum() == 2


@pytest.mark.parametrize(
    ("seconds", "bucketed", "smallest_s", "window_s"),
    [
        (0.5, True, 2.0, 2.0),
        (2.0, True, 2.0, 2.0),
        (2.01, True, 2.0, 3.0),
        (2.01, False, 2.0, 2.5),
        (0.5, False, 0.0, 0.5),
        (0.5, True, 6.0, 6.0),
        (0.5, False, 5.0, 5.0),
        (0.5, True, 30.0, 30.0),
        (0.5, False, 30.0, 30.0),
        (30.0, True, 2.0, 30.0),
        (29.9, False, 2.0, 30.0),
    ],
)
def test_window_lengths(seconds: float, bucketed: bool, smallest_s: float, window_s: float) -> None:
    examples = [sized(int(seconds * SAMPLE_RATE)), sized(100)]
    batch = collate(examples, TOKENS.end, bucketed=bucketed, smallest_s=smallest_s)
    assert batch.samples_BT.shape[1] == window_s * SAMPLE_RATE


def test_a_full_window_is_30_s_and_so_are_those_beside_it() -> None:
    batch = collate([sized(100), sized(100, full=True)], TOKENS.end)
    assert batch.samples_BT.shape == (2, WINDOW_SAMPLES)
    assert made([CLIP], window(full=True)).full
    assert WINDOWS_S[-1] * SAMPLE_RATE == WINDOW_SAMPLES


def test_nothing_counts_in_a_masked_batch_of_the_same_shapes() -> None:
    batch = collate([sized(100, 3), sized(100, 10)], TOKENS.end)
    nothing = masked(batch)
    assert (nothing.positions, nothing.audio_s) == (0, 0.0)
    assert not (nothing.text_BS >= 0).any()
    assert [t.shape for t in nothing.tensors()] == [t.shape for t in batch.tensors()]
    assert batch.positions == 13


def test_a_batch_moves_to_a_device_whole() -> None:
    moved = collate([sized(100)], TOKENS.end).to(torch.device("meta"))
    assert {t.device.type for t in moved.tensors()} == {"meta"}


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(TrainingError, match="expected at least one example in a batch, got none"):
        collate([], TOKENS.end)
