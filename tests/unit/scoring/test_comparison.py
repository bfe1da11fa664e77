"""Models side by side: each against the first, and in groups of clips."""

from voxray.scoring.comparison import by_duration, compare_by, compare_with_first, deciding
from voxray.scoring.metrics import ClipScore, score_clip

SAID = [("one two", 1.0, "ann"), ("three four", 3.0, "bob"), ("five six", 40.0, "bob"), ("seven", 2.0, "")]


def scored(*texts: str) -> list[ClipScore]:
    return [
        score_clip(str(i), said, text, seconds, "en", "basic", speaker)
        for i, ((said, seconds, speaker), text) in enumerate(zip(SAID, texts, strict=True))
    ]


MODELS = {
    "first": scored("one", "three", "five", "seven"),
    "same": scored("one", "three", "five", "seven"),
    "better": scored("one two", "three", "five six", "seven"),
}


def test_each_model_is_compared_with_the_first_and_the_best_decides() -> None:
    found = compare_with_first(MODELS)
    assert [(c.a, c.b) for c in found] == [("first", "same"), ("first", "better")]
    best = deciding(found)
    assert (best.b, best.clips) == ("better", 4)
    assert (best.rate_a, best.rate_b) == (3 / 7, 1 / 7)
    assert "28.6 points WER" in best.headline


def test_one_model_is_compared_with_none() -> None:
    assert compare_with_first({"first": MODELS["first"]}) == []


def test_groups_are_compared_apart_and_clips_without_a_name_left_out() -> None:
    found = compare_by(lambda s: s.speaker, "first", "better", MODELS)
    assert [(c.group, c.clips, c.rate_a, c.rate_b) for c in found] == [
        ("ann", 1, 0.5, 0.0),
        ("bob", 2, 0.5, 0.25),
    ]


def test_one_group_is_nothing_to_compare() -> None:
    assert compare_by(lambda s: s.language, "first", "better", MODELS) == []


def test_ranges_of_durations_go_from_short_to_long() -> None:
    found = by_duration("first", "better", MODELS)
    assert [(c.group, c.clips) for c in found] == [("0-2 s", 1), ("2-4 s", 2), ("30 s +", 1)]
