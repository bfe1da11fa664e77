"""Counts that were made by hand, and what holds for any texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.scoring.metrics import ClipScore, bootstrap_interval, by_speaker, score_clip, summarise, worst
from voxray.text import ErrorCounts

WORDS = st.lists(st.sampled_from("turn on the kitchen light at nine".split()), max_size=12).map(" ".join)
COUNTS = st.lists(
    st.builds(ErrorCounts, st.integers(1, 20), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)),
    min_size=1,
    max_size=30,
)


def scored(reference: str, hypothesis: str, speaker: str = "", id: str = "a") -> ClipScore:
    return score_clip(id, reference, hypothesis, 2.0, "en", "basic", speaker)


def test_edits_of_a_pair_counted_by_hand() -> None:
    # the CAT sat on the mat -> the BAT sat (on) the mat TODAY: one of each.
    score = scored("The cat sat on the mat.", "the bat sat the mat today")
    assert score.errors == ErrorCounts(6, substitutions=1, deletions=1, insertions=1)
    assert score.errors.rate == 0.5
    # thecatsatonthemat (17) -> thebatsatthemattoday: c->b, "on" gone, "today" new.
    assert score.characters == ErrorCounts(17, substitutions=1, deletions=2, insertions=5)
    assert score.hypothesis_length == 6


def test_the_corpus_rate_is_pooled_not_the_mean_of_the_clips() -> None:
    summary = summarise(
        [
            scored("one", "two"),
            scored("one two three four five six seven", "one two three four five six seven"),
        ]
    )
    assert summary.wer == 1 / 8
    assert summary.mean_clip_wer == 0.5
    assert summary.audio_s == 4.0


def test_a_runaway_clip_counts_once_in_the_mean_of_clips() -> None:
    summary = summarise([scored("one", "one " * 11), scored("two", "two")])
    assert summary.wer == 5.0
    assert summary.mean_clip_wer == 0.5


def test_words_decoded_where_there_are_none_are_insertions() -> None:
    summary = summarise([scored("", "thank you")])
    assert summary.errors == ErrorCounts(0, insertions=2)
    assert summary.wer == 2.0


def test_repeated_5_grams_are_counted_within_each_clip() -> None:
    line = "one two three four five"
    apart = summarise([scored(line, line), scored(line, line)])
    together = summarise([scored(line, f"{line} {line}")])
    assert apart.repeated_per_1000 == 0
    assert together.repeated_per_1000 == 100  # 1 in 10 words


def test_no_clips_give_zeros_not_an_error() -> None:
    summary = summarise([])
    assert (summary.clips, summary.wer, summary.wer_low, summary.wer_high) == (0, 0.0, 0.0, 0.0)


def test_the_interval_of_equal_clips_is_a_point() -> None:
    assert bootstrap_interval([ErrorCounts(10, 1)] * 20) == pytest.approx((0.1, 0.1))


def test_the_interval_is_that_of_the_binomial() -> None:
    # 1-word clips, 30 % wrong, 400 of them: 0.3 +- 1.96 * sqrt(0.3 * 0.7 / 400) = 0.3 +- 0.045.
    low, high = bootstrap_interval([ErrorCounts(1, int(i % 10 < 3)) for i in range(400)])
    assert low == pytest.approx(0.255, abs=0.008)
    assert high == pytest.approx(0.345, abs=0.008)


@given(COUNTS, st.integers(0, 3))
def test_the_interval_repeats_with_its_seed_and_lies_within_the_clips(
    counts: list[ErrorCounts], seed: int
) -> None:
    low, high = bootstrap_interval(counts, seed=seed)
    rates = [c.rate for c in counts]
    assert (low, high) == bootstrap_interval(counts, seed=seed)
    assert min(rates) - 1e-9 <= low <= high <= max(rates) + 1e-9


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
def test_pooled_counts_are_the_sum_of_the_clips_in_any_order(pairs: list[tuple[str, str]]) -> None:
    scores = [scored(r, h) for r, h in pairs]
    summary = summarise(scores)
    assert summary.errors == summarise(scores[::-1]).errors
    assert summary.errors.errors == sum(s.errors.errors for s in scores)
    assert summary.errors.reference_length == sum(len(r.split()) for r, _ in pairs)


@given(WORDS, WORDS)
def test_hits_and_edits_account_for_every_word(reference: str, hypothesis: str) -> None:
    w = scored(reference, hypothesis).errors
    hits = w.reference_length - w.substitutions - w.deletions
    assert hits >= 0
    assert hits + w.substitutions + w.insertions == len(hypothesis.split())


CHINESE = score_clip("zh", "打开厨房的灯。", "打开厨房灯", 2.0, "zh")
JAPANESE = score_clip("ja", "今日は晴れ", "今日は雨", 2.0, "ja")
THAI = score_clip("th", "เปิดไฟ", "เปิดไฟ", 2.0, "th")
ENGLISH = score_clip("en", "Turn on, it's nine five", "turn off, it is 95", 2.0, "en")


def test_languages_without_spaces_are_scored_by_character_throughout() -> None:
    summary = summarise([CHINESE, JAPANESE, THAI])
    assert summary.rate_name == "CER"
    assert summary.errors == summary.characters == ErrorCounts(6 + 5 + 6, 1, 2)
    assert summary.wer == 3 / 17
    assert 0 <= summary.wer_low <= summary.wer <= summary.wer_high <= 2 / 5
    assert summary.mean_clip_wer == pytest.approx((1 / 6 + 2 / 5 + 0) / 3)
    assert [s.id for s in worst([CHINESE, JAPANESE, THAI], 5)] == ["ja", "zh"]


def test_in_a_mix_each_clip_is_scored_by_its_own_language() -> None:
    summary = summarise([CHINESE, ENGLISH])
    assert (summary.rate_name, summarise([ENGLISH]).rate_name) == ("MER", "WER")
    assert summary.errors == ErrorCounts(6 + 6, 1, 1)  # "it's" is two English words, "95" two digits
    assert summarise([ENGLISH, CHINESE]).errors == summary.errors


def test_loops_are_counted_in_characters_where_no_spaces_are_written() -> None:
    looped = score_clip("a", "一二三四五", "一二三四五一二三四五", 2.0, "zh")
    assert (looped.hypothesis_length, looped.repeated) == (10, 1)


def test_speakers_are_summarised_apart_and_the_unknown_left_out() -> None:
    scores = [scored("one", "one", "ann"), scored("one", "two", "bob"), scored("one", "two")]
    assert {name: s.wer for name, s in by_speaker(scores).items()} == {"ann": 0.0, "bob": 1.0}


def test_the_worst_clips_are_those_with_most_errors() -> None:
    scores = [
        scored("one two three", "one two three", id="right"),
        scored("one", "two", id="short"),
        scored("one two three", "five six three", id="long"),
    ]
    assert [s.id for s in worst(scores, 5)] == ["long", "short"]
    assert [s.id for s in worst(scores, 1)] == ["long"]
