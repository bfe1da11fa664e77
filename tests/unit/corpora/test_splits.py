"""Splits: stable under additions, in the shares they promise, and named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.corpora.splits import SPLITS, check_split, describe, split_key, split_of
from voxray.errors import CorpusError


@given(st.text())
def test_every_key_has_one_of_the_splits_and_keeps_it(key: str) -> None:
    assert split_of(key) in SPLITS
    assert split_of(key) == split_of(key)


def test_shares_are_80_10_10() -> None:
    found = [split_of(f"clip-{k}") for k in range(5000)]
    assert [found.count(s) / 50 for s in SPLITS] == pytest.approx([80, 10, 10], abs=2)


def test_known_keys_stay_where_released_versions_put_them() -> None:
    known = {"uid-0": "train", "uid-2": "test", "uid-3": "dev"}
    assert {key: split_of(key) for key in known} == known


def test_clips_are_split_by_speaker_else_by_recording_else_by_themselves() -> None:
    assert split_key("anna", "call-7", "call-7#0001") == "anna"
    assert split_key("", "call-7", "call-7#0001") == "call-7"
    assert split_key("", "", "clip") == "clip"


def test_an_unknown_split_is_named_with_the_known_ones() -> None:
    with pytest.raises(CorpusError, match=r"x: expected a split called train, dev, test, got 'val'"):
        check_split("val", "x")


def test_describes_how_many_clips_each_split_has() -> None:
    assert describe(["test", "train", "train"]) == "train 2, test 1"
    assert describe([]) == "no clips"
