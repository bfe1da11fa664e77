"""The page of a run, from what a run leaves in its folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxray.corpora.store import Clip, write_store
from voxray.recipes.run_report import (
    SHOWN_CLIPS,
    EvaluatedModel,
    RunDescription,
    shown_ids,
    verdict,
    write_run_report,
)
from voxray.scoring.report import ModelScores
from voxray.scoring.suites import scores_of
from voxray.serving.trainings.bodies import WorstClips
from voxray.training.run import RunOptions

TONE = (8000 * np.sin(np.arange(16_000) / 8)).astype(np.int16)
TEXTS = ["turn on <the> light", "it is nine", "right as it is"]
BEFORE = ["turn off light", "it is five", "right as it is"]
AFTER = ["turn on the light", "it is five", "right as it is"]
LINES: list[dict[str, Any]] = [
    {"step": 0, "wer": 40.0},
    {"step": 10, "loss": 2.0, "ce": 2.0, "kl": 0.0, "ctc": 0.0, "learning_rate": 1e-4}
    | {"samples_per_s": 20.0, "threads": 2, "started": 1.0, "elapsed_s": 90.0},
    {"step": 10, "wer": 9.125},
    {"step": 20, "wer": 12.0},
]


@pytest.fixture
def options(tmp_path: Path) -> RunOptions:
    """A run that has logged `LINES` on three clips."""
    clips = [Clip(f"clip {i}", TONE, text, "ann") for i, text in enumerate(TEXTS)]
    for name in ("train", "dev"):
        write_store(tmp_path / name, clips)
    log(tmp_path, LINES)
    return RunOptions(
        out=tmp_path, start=tmp_path, train=(tmp_path / "train",), dev=tmp_path / "dev", normaliser="basic"
    )


def log(out: Path, lines: Sequence[dict[str, Any]]) -> None:
    (out / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def described(**changes: Any) -> RunDescription:
    models = [
        EvaluatedModel("before", BEFORE, 4_000_000, 30.0),
        EvaluatedModel("after", AFTER, 4_000_000, 8.5),
    ]
    return RunDescription(
        **{"subject": "Fine-tuning: all of <m>", "models": models, "left_out": (), "workers": 2, **changes}
    )


def page(options: RunOptions, **changes: Any) -> str:
    return write_run_report(options, described(**changes)).read_text()


def test_the_page_says_what_was_trained_on_what_and_whether_it_got_better(options: RunOptions) -> None:
    html = page(options)
    head = html[html.index("<h1>") : html.index("<main>")]

    assert "<h1>Fine-tuning: all of &lt;m&gt;</h1>" in head
    assert "WER on 3 dev clips fell from 40.00 to 9.12 %, after step 10." in head
    assert "WER on the test clips: 30.00 % before, 8.50 % after." in head
    for name, value in {"dev WER": "9.12 %", "test WER": "8.50 %", "clips": "3", "of audio": "3 s"}.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in head


def test_the_table_has_both_models_and_the_test_clips(options: RunOptions) -> None:
    html = page(options)
    assert "<td>8.50</td></tr>" in html
    assert "Test WER, %" in html
    assert "RTFx" not in html
    assert "<dt>training took</dt><dd>1.5 min, evaluations included</dd>" in html
    assert "<dt>steps</dt><dd>20 of 1,000</dd>" in html
    assert "<dt>threads of each</dt><dd>2</dd>" in html


def test_there_is_a_curve_of_each_loss_where_there_were_several(options: RunOptions) -> None:
    assert page(options).count("<svg") == 3
    assert "cross-entropy" not in page(options)

    log(options.out, [*LINES, LINES[1] | {"step": 20, "kl": 0.5}])
    html = page(options)
    assert all(name in html for name in ("cross-entropy", "KL divergence"))
    assert "CTC" not in html


def test_clips_have_a_player_and_the_words_that_differ_marked(options: RunOptions) -> None:
    html = page(options)
    names = [part.partition("<")[0] for part in html.split("<h3>clip ")[1:]]

    assert names == ["1", "0"]  # the worst, then the one that only the model before had wrong
    assert html.count("<audio controls") == 2
    assert "<del>nine</del> <ins>five</ins>" in html
    clips = WorstClips.model_validate_json((options.out / "clips.json").read_text()).data
    assert [clip.id for clip in clips] == ["clip 1", "clip 0"]
    assert (clips[0].audio or "").startswith("data:audio/ogg;base64,")
    assert [h.name for h in clips[0].hypotheses] == ["before", "after"]


def test_a_model_that_is_not_shown_is_scored_all_the_same(options: RunOptions) -> None:
    first = EvaluatedModel("untrained", ["loop " * 3] * 3, 1_000_000, shown=False)
    html = page(options, models=[*described().models[:1], first, described().models[1]], wer_teacher=7.5)

    assert 'aria-label="Dev WER"' in html
    assert "The teacher has 7.50 %." in html
    assert "<td>1.00 M</td>" in html
    assert "untrained, " not in html


def test_what_was_left_out_is_listed_with_its_reason(options: RunOptions) -> None:
    html = page(options, left_out=[f"clip-{i}: <no text>" for i in range(25)])
    assert "<li>clip-19: &lt;no text&gt;</li>" in html
    assert "clip-20" not in html
    assert "<li>and 5 more</li>" in html
    assert "Left out" not in page(options)


def test_a_run_without_dev_clips_has_a_page_too(options: RunOptions) -> None:
    log(options.out, [LINES[1]])
    no_texts = [EvaluatedModel("before", (), 4_000_000), EvaluatedModel("after", (), 4_000_000)]
    html = page(options.model_copy(update={"dev": None}), models=no_texts)

    assert "There were no dev clips" in html
    assert html.count("<svg") == 2
    assert "<audio" not in html


@pytest.mark.parametrize(
    ("wers", "sentence"),
    [
        (
            [40.0, 41.0],
            "WER on 3 dev clips did not fall below 40.00 %, that before training, which was kept.",
        ),
        ([40.0, 30.0], "WER on 3 dev clips fell from 40.00 to 30.00 %, after step 1."),
    ],
)
def test_a_run_that_did_not_get_better_is_said_to(wers: list[float], sentence: str, tmp_path: Path) -> None:
    log(tmp_path, [{"step": step, "wer": wer} for step, wer in enumerate(wers)])
    assert verdict(tmp_path, 3) == sentence


def test_at_most_a_dozen_clips_are_shown() -> None:
    clips = [Clip(str(i), TONE, "one two three") for i in range(20)]
    wrong = scores_of(clips, ["one two"] * 20, compute_s=0.0)
    assert len(shown_ids([ModelScores("m", wrong)])) == SHOWN_CLIPS
    assert shown_ids([]) == []
