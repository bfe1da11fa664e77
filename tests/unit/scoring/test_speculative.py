"""A student that drafts for its teacher, in transformers, on the tests' small model."""

import pytest
import torch
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS

from voxray.audio import decode
from voxray.corpora.store import Clip
from voxray.scoring.speculative import SpeculativeScore, drafts, speculate, speculate_clip
from voxray.whisper.checkpoint import load_model

CLIPS = [Clip(f.stem, decode(f), "") for f in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:2]]


def test_a_teacher_accepts_all_that_its_twin_drafts() -> None:
    teacher, twin = (load_model(SMALL_MODEL).eval() for _ in range(2))
    score = speculate_clip(teacher, twin, CLIPS[0])
    assert score.same_texts == 1
    assert 0 < score.accepted == score.drafted


def test_an_english_only_model_is_given_no_language() -> None:
    teacher, twin = (load_model(SMALL_MODEL).eval() for _ in range(2))
    for model in (teacher, twin):
        model.generation_config.is_multilingual, model.generation_config.lang_to_id = False, {}
    score = speculate_clip(teacher, twin, CLIPS[0])
    assert 0 < score.accepted == score.drafted


def test_another_student_changes_the_speed_and_not_the_text() -> None:
    teacher, student = (load_model(SMALL_MODEL).eval() for _ in range(2))
    torch.manual_seed(0)
    for weights in student.get_decoder().layers[-1].parameters():
        torch.nn.init.normal_(weights, std=0.2)
    ticks = iter(range(100))
    score = speculate(teacher, student, CLIPS, clock=lambda: float(next(ticks)))
    assert (score.clips, score.same_texts) == (2, 2)
    assert 0 <= score.accepted < score.drafted
    assert (score.alone_s, score.assisted_s) == (2.0, 2.0)  # a tick each; the warm-up is not counted


def test_drafts_are_accepted_up_to_the_first_that_differs() -> None:
    prompt, end = [1, 2], 9
    calls = [[*prompt, 5, 6], [7, 8, 8], [3, 8, end]]
    assert drafts(calls, [*prompt, 5, 6, 7, 8, 3, 8, end], 2) == (6, 5)
    assert drafts([[*prompt, 5, end]], [*prompt, 5, end], 2) == (2, 2)


def test_scores_of_clips_are_added() -> None:
    total = SpeculativeScore(1, 1, 2.0, 1.0, 10, 5) + SpeculativeScore(1, 0, 2.0, 1.0, 10, 10)
    assert (total.clips, total.same_texts) == (2, 1)
    assert total.speed_up == pytest.approx(2.0)
    assert total.acceptance == pytest.approx(0.75)
    assert (SpeculativeScore().speed_up, SpeculativeScore().acceptance) == (0.0, 0.0)
