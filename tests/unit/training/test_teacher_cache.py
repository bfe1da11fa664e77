"""A teacher's targets are read as they were written, computed once, and survive a kill and a full disk."""

import errno
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prose import PROSE
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray import job
from voxray.audio import Pcm, decode
from voxray.errors import TrainingError
from voxray.training.teacher_cache import (
    SHARD,
    Target,
    Teacher,
    TeacherCache,
    _label,
    fill,
    is_silence,
    write_shard,
)
from voxray.whisper.checkpoint import load_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingResult
from voxray.whisper.labels import IGNORED, Label
from voxray.whisper.tokens import MAX_LABEL_TOKENS, Tokens

WIDTH = 4
AUDIO = [np.full(160, i, np.int16) for i in range(SHARD + 3)]
SPEECH = [True] * len(AUDIO)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    length = draw(st.integers(1, 5))
    ids = st.lists(st.integers(0, 51_864), min_size=length, max_size=length)
    label = Label(tuple(draw(ids)), (IGNORED, *draw(ids)[1:]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    known = Target(label, rng.standard_normal((length, WIDTH)).astype(np.float16))
    nothing = np.zeros((0, WIDTH), np.float16)
    return draw(st.sampled_from([known, Target(label, nothing), Target(None, nothing)]))


class CountingTeacher:
    """Says the first sample of a clip, and counts the clips that it was given."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.decoded, self.dies_after = 0, dies_after

    def targets(self, clips: Sequence[Pcm], speech: Sequence[bool]) -> list[Target]:
        if self.dies_after is not None and self.decoded >= self.dies_after:
            raise KeyboardInterrupt
        self.decoded += len(clips)
        written = [int(clip[0]) for clip in clips]
        return [Target(Label((i,), (i,)), np.full((1, WIDTH), i, np.float16)) for i in written]


@settings(max_examples=30, deadline=None)
@given(st.lists(targets(), min_size=1, max_size=SHARD))
def test_targets_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[Target]
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    write_shard(folder / "00000.safetensors", written)

    cache = TeacherCache(folder, len(written))

    assert list(cache.labels()) == [target.label for target in written]
    for got, target in zip(cache, written, strict=True):
        assert got.label == target.label
        np.testing.assert_array_equal(got.states, target.states)


def _fill(folder: Path, teacher: CountingTeacher) -> TeacherCache:
    made: Any = teacher
    return fill(folder, _Audio(), SPEECH, lambda: made)


class _Audio(Sequence[Pcm]):
    def __len__(self) -> int:
        return len(AUDIO)

    def __getitem__(self, index: Any) -> Any:
        return AUDIO[index]


def test_a_killed_run_goes_on_with_the_next_shard(tmp_path: Path) -> None:
    first, second = CountingTeacher(dies_after=SHARD), CountingTeacher()
    with pytest.raises(KeyboardInterrupt):
        _fill(tmp_path, first)

    cache = _fill(tmp_path, second)

    assert (first.decoded, second.decoded) == (SHARD, len(AUDIO) - SHARD)
    assert [label.inputs for label in cache.labels() if label] == [(i,) for i in range(len(AUDIO))]


def test_a_filled_cache_needs_no_teacher(tmp_path: Path) -> None:
    _fill(tmp_path, CountingTeacher())

    assert len(fill(tmp_path, _Audio(), SPEECH, lambda: pytest.fail("loaded a teacher"))) == len(AUDIO)


def test_a_full_disk_ends_in_one_sentence_and_what_was_cached_is_kept(tmp_path: Path) -> None:
    _fill(tmp_path, CountingTeacher())
    (tmp_path / "00001.safetensors").unlink()
    (tmp_path / "00001.part").symlink_to("/dev/full")

    with pytest.raises(OSError, match=str(tmp_path)) as caught:
        _fill(tmp_path, CountingTeacher())

    assert caught.value.errno == errno.ENOSPC
    assert "No space left on device; free some room" in (job.explain(caught.value) or "")
    again = CountingTeacher()
    _fill(tmp_path, again)
    assert again.decoded == len(AUDIO) - SHARD


@pytest.mark.parametrize(
    ("no_speech_prob", "avg_logprob", "silent"),
    [(0.9, -1.5, True), (0.9, -0.5, False), (0.1, -1.5, False), (None, -1.5, False)],
)
def test_silence_is_what_whisper_takes_for_it(
    no_speech_prob: float | None, avg_logprob: float, silent: bool
) -> None:
    words = DecodingResult(" you", "en", (345,), (), (), avg_logprob, no_speech_prob, 1.0)

    assert is_silence(words) is silent


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    _fill(tmp_path, CountingTeacher())
    (tmp_path / "00000.safetensors").write_bytes(b"cut short")

    with pytest.raises(TrainingError, match=r"00000\.safetensors: expected a shard"):
        TeacherCache(tmp_path, len(AUDIO))


@pytest.mark.parametrize("language", PROSE)
def test_a_whole_text_is_learned_with_its_end_however_many_tokens_it_has(language: str) -> None:
    tokens = Tokens.load(SMALL_MODEL_INT8)
    ids = tuple(tokens.encode(PROSE[language])[:430])
    whole = DecodingResult(tokens.decode(ids), language, ids, (), (), -0.3, 0.1, 1.3)
    label = _label(tokens, whole)

    assert label is not None
    assert label.targets[-len(ids) - 1 :] == (*ids, tokens.end)


def test_nothing_is_learned_of_a_text_that_does_not_end() -> None:
    tokens = Tokens.load(SMALL_MODEL_INT8)
    half = DecodingResult("turn on", "en", (5, 6), (), (), -0.3, 0.1, 1.0, truncated=True)

    assert _label(tokens, half) is None


class HalfWriter(CTranslate2Engine):
    """Breaks every text off, and keeps how many tokens it was allowed."""

    limit = 0

    def decode(self, *args: Any, **options: Any) -> list[DecodingResult]:
        self.limit = args[2].max_new_tokens
        return [replace(result, truncated=True) for result in super().decode(*args, **options)]


def test_the_teacher_may_write_as_much_as_its_decoder_holds_and_what_breaks_off_is_left_out() -> None:
    engine = HalfWriter(SMALL_MODEL_INT8)
    clips = [decode(file) for file in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:2]]
    targets = Teacher(engine, load_model(SMALL_MODEL)).targets(clips, [True, True])

    assert engine.limit >= MAX_LABEL_TOKENS - len(engine.tokens.prompt()) - 1
    assert [(target.label, len(target.states)) for target in targets] == [(None, 0), (None, 0)]
