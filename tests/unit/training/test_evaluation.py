import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import decode
from voxray.corpora.store import Clip
from voxray.text import ErrorCounts, character_errors, normaliser, word_errors
from voxray.training.evaluation import Evaluator
from voxray.whisper.checkpoint import load_model
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import convert


@pytest.fixture(scope="module")
def spoken() -> list[Clip]:
    """Two clips that come with the package."""
    files = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:80:40]
    return [Clip(f.stem, decode(f), f.with_suffix(".txt").read_text().strip()) for f in files]


def hypotheses(clips: list[Clip]) -> list[str]:
    engine = CTranslate2Engine(SMALL_MODEL_INT8, threads=1)
    return [h.text for h in engine.transcribe([c.pcm for c in clips], DecodingOptions(), ["en"] * len(clips))]


def test_scores_the_word_errors_of_all_clips_together(spoken: list[Clip]) -> None:
    counts = [word_errors(c.text, h) for c, h in zip(spoken, hypotheses(spoken), strict=True)]
    evaluation = Evaluator(spoken, 2.0).evaluate(SMALL_MODEL_INT8)
    assert evaluation.wer == round(100 * sum(counts, ErrorCounts()).rate, 3)
    assert list(evaluation.texts) == hypotheses(spoken)


def test_a_text_that_is_the_hypothesis_has_no_errors_and_another_has(spoken: list[Clip]) -> None:
    perfect = [replace(c, text=h) for c, h in zip(spoken, hypotheses(spoken), strict=True)]
    wrong = [replace(perfect[0], text=f"{perfect[0].text} indeed"), perfect[1]]
    words = sum(len(c.text.split()) for c in wrong)
    assert Evaluator(perfect, 2.0).score(SMALL_MODEL_INT8) == 0.0
    assert Evaluator(wrong, 2.0, "none").score(SMALL_MODEL_INT8) == pytest.approx(100 / words, abs=1e-3)


def test_languages_without_spaces_are_scored_by_character(spoken: list[Clip]) -> None:
    japanese = [replace(spoken[0], language="ja", text="日本語")]
    engine = CTranslate2Engine(SMALL_MODEL_INT8, threads=1)
    [hypothesis] = engine.transcribe([japanese[0].pcm], DecodingOptions(), ["ja"])
    expected = 100 * character_errors("日本語", hypothesis.text, normaliser("ja")).rate
    assert Evaluator(japanese, 2.0).score(SMALL_MODEL_INT8) == pytest.approx(expected, abs=1e-3)


def test_clips_are_decoded_for_their_own_task(clips: list[Clip], tiny: Path, tmp_path: Path) -> None:
    folder = convert(tiny, tmp_path / "ctranslate2")
    engine = CTranslate2Engine(folder, threads=1)
    pcms = [clip.pcm for clip in clips[:2]]
    said, translated = (
        [r.text for r in engine.transcribe(pcms, DecodingOptions(task=task), ["en"] * 2)]
        for task in ("transcribe", "translate")
    )
    assert said[1] != translated[1]  # or nothing is tested
    evaluation = Evaluator([clips[0], replace(clips[1], task="translate")], 4.0).evaluate(folder)
    assert evaluation.texts == (said[0], translated[1])


def test_evaluates_a_model_in_memory_as_its_export_and_leaves_nothing(
    tiny: Path, clips: list[Clip], tmp_path: Path
) -> None:
    evaluator = Evaluator(clips[:2], 4.0)
    evaluation = evaluator(load_model(tiny), tiny, tmp_path / "evaluation")
    assert evaluation.wer >= 0.0
    assert evaluation == evaluator(load_model(tiny), tiny, tmp_path / "evaluation")
    assert list(tmp_path.iterdir()) == []


def test_a_trained_model_is_evaluated_on_windows_as_short_as_it_was_trained_on(
    spoken: list[Clip], tmp_path: Path
) -> None:
    model = load_model(SMALL_MODEL)
    short = Evaluator(spoken[:1], 2.0)(model, SMALL_MODEL, tmp_path / "evaluation")
    assert short == Evaluator(spoken[:1], 2.0).evaluate(SMALL_MODEL_INT8)
    assert json.loads((SMALL_MODEL_INT8 / "voxray.json").read_text())["min_window_s"] == 2.0
