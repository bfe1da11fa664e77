import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from voxray.corpora.store import Clip, write_store
from voxray.errors import TrainingError
from voxray.training.evaluation import Evaluation, read_hypotheses
from voxray.training.loop_options import LoopOptions
from voxray.training.lora_options import LoraOptions
from voxray.training.objective import ObjectiveOptions
from voxray.training.plan import Cursor, PlanOptions
from voxray.training.run import Commit, Run, RunOptions, build_loop
from voxray.whisper.checkpoint import load_model
from voxray.whisper.model_info import ModelInfo

CPU = torch.device("cpu")
Folders = Callable[..., RunOptions]


class ScriptedEvaluator:
    """Gives the next of `wers`, whatever it is asked to score, and a text that names it."""

    def __init__(self, wers: Sequence[float]) -> None:
        self.wers = list(wers)

    def __call__(self, model: Any, source: Path, work: Path) -> Evaluation:
        wer = self.wers.pop(0)
        return Evaluation(wer, (f"text at {wer:g} %",))


class Commits:
    """Keeps what is committed: metrics, a copy of the checkpoint, and the weights at that moment."""

    def __init__(self, keep: Path) -> None:
        self.keep = keep
        self.metrics: list[dict[str, float]] = []
        self.weights: list[torch.Tensor] = []
        self.run: Run | None = None

    def __call__(self, metrics: dict[str, float], folder: Path | None) -> None:
        assert folder is not None
        assert self.run is not None
        shutil.copytree(folder, self.keep / f"{metrics['step']:g}")
        self.metrics.append(metrics)
        self.weights.append(weight(self.run.loop.objective.student).clone())


@pytest.fixture
def options(tiny: Path, clips: list[Clip], tmp_path: Path) -> RunOptions:
    """Four steps on three clips, evaluated after each."""
    write_store(tmp_path / "train", clips[:3])
    return RunOptions(
        out=tmp_path / "out",
        start=tiny,
        train=(tmp_path / "train",),
        evaluate_every=1,
        report_every=2,
        loop=LoopOptions(
            max_steps=4,
            learning_rate=1e-2,
            plan=PlanOptions(batch_s=4.0, full_probability=0.0),
        ),
        objective=ObjectiveOptions(kl_weight=0.0),
    )


def prepared(options: RunOptions, wers: Sequence[float] | None, commit: Commit) -> Run:
    evaluator = ScriptedEvaluator(wers) if wers is not None else None
    return Run(options, build_loop(options, CPU), commit, evaluator)


def train(
    options: RunOptions, wers: Sequence[float] | None, keep: Path, resume: Path | None = None
) -> tuple[Run, Commits]:
    commits = Commits(keep)
    run = commits.run = prepared(options, wers, commits)
    if resume:
        run.restore(resume)
    run.train()
    return run, commits


def weight(model: Any) -> torch.Tensor:
    found: torch.Tensor = model.model.decoder.layers[0].fc1.weight.detach()
    return found


def kept(options: RunOptions) -> torch.Tensor:
    return weight(load_model(options.out / "model"))


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    """The same but for the half precision that models are kept in."""
    return torch.allclose(a, b, rtol=1e-3, atol=1e-6)


def test_the_model_with_the_best_wer_is_kept_not_the_last(options: RunOptions, tmp_path: Path) -> None:
    run, commits = train(options, [90, 70, 50, 60, 55], tmp_path / "kept")
    assert (run.best_wer, run.best_step) == (50, 2)
    assert [m["wer"] for m in commits.metrics] == [70, 50, 60, 55]
    assert near(kept(options), commits.weights[1])
    assert not near(kept(options), commits.weights[3])


@pytest.mark.parametrize("chosen", [{"gradient_checkpointing": True}, {"attn_implementation": "sdpa"}])
def test_what_saves_memory_or_time_does_not_change_what_is_learned(
    options: RunOptions, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    free = options.objective.model_copy(update={"freeze_encoder": False})
    options = options.model_copy(update={"objective": free})
    _, plain = train(options, [90, 80, 70, 60, 50], tmp_path / "plain")
    shutil.rmtree(options.out)
    loop = options.loop.model_copy(update=chosen)
    run, saving = train(options.model_copy(update={"loop": loop}), [90, 80, 70, 60, 50], tmp_path / "saving")

    student = run.loop.objective.student
    assert student.is_activation_checkpointing == loop.gradient_checkpointing
    assert student.config._attn_implementation == ("sdpa" if "attn_implementation" in chosen else "eager")
    pairs = zip(plain.weights, saving.weights, strict=True)
    assert all(torch.allclose(a, b, rtol=1e-2, atol=2e-3) for a, b in pairs)


@pytest.mark.parametrize("dora", [False, True])
def test_an_adapter_is_trained_alone_resumed_and_kept_merged(
    dora: bool, options: RunOptions, tiny: Path, tmp_path: Path
) -> None:
    options = options.model_copy(update={"lora": LoraOptions(rank=2), "dora": dora})
    free = options.objective.model_copy(update={"freeze_encoder": False})
    options = options.model_copy(update={"objective": free})
    run, commits = train(options, [90, 80, 70, 60, 50], tmp_path / "kept")
    student, start = run.loop.objective.student, load_model(tiny)
    inputs = {"input_features": torch.randn(1, 80, 3000), "decoder_input_ids": torch.tensor([[1, 2, 3]])}

    assert all(torch.equal(w, weight(start)) for w in commits.weights)
    assert not torch.equal(kept(options), weight(start))
    with torch.no_grad():
        expected, merged = student.eval()(**inputs).logits, run.exported().eval()(**inputs).logits
    assert torch.allclose(expected, merged, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(expected, start.eval()(**inputs).logits, rtol=1e-3, atol=1e-4)

    shutil.rmtree(options.out)
    again, _ = train(options, [70, 60, 50], tmp_path / "again", tmp_path / "kept" / "2")
    states = (run.loop.objective.state_dict(), again.loop.objective.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_texts_of_the_first_and_the_best_weights_are_kept_over_a_resume(
    options: RunOptions, tmp_path: Path
) -> None:
    two = options.model_copy(update={"loop": options.loop.model_copy(update={"max_steps": 2})})
    train(two, [90, 20, 30], tmp_path / "first")
    train(options, [25, 10], tmp_path / "second", resume=tmp_path / "first" / "2")
    assert read_hypotheses(options.out, "first") == ["text at 90 %"]
    assert read_hypotheses(options.out, "best") == ["text at 10 %"]


def test_without_an_evaluator_there_are_no_texts(options: RunOptions, tmp_path: Path) -> None:
    train(options, None, tmp_path / "kept")
    assert read_hypotheses(options.out, "first") == read_hypotheses(options.out, "best") == []


def test_the_model_before_training_is_kept_where_none_is_better(options: RunOptions, tmp_path: Path) -> None:
    run, _ = train(options, [10, 70, 50, 60, 10], tmp_path / "kept")
    assert (run.best_wer, run.best_step) == (10, 0)
    assert near(kept(options), weight(load_model(options.start)))


def test_patience_ends_a_run_that_grows_no_better(options: RunOptions, tmp_path: Path) -> None:
    run, _ = train(options.model_copy(update={"patience": 2}), [50, 40, 41, 40, 0], tmp_path / "kept")
    assert run.loop.step == 3
    assert run.best_wer == 40


def test_without_an_evaluator_the_last_weights_are_kept(options: RunOptions, tmp_path: Path) -> None:
    _, commits = train(options, None, tmp_path / "kept")
    assert near(kept(options), commits.weights[-1])
    assert len(commits.metrics) == 4


def test_the_best_wer_survives_a_resume(options: RunOptions, tmp_path: Path) -> None:
    two = options.model_copy(update={"loop": options.loop.model_copy(update={"max_steps": 2})})
    _, first = train(two, [90, 20, 30], tmp_path / "first")
    run, _ = train(options, [25, 24], tmp_path / "second", resume=tmp_path / "first" / "2")
    assert run.loop.step == 4
    assert (run.best_wer, run.best_step, run.stale) == (20, 1, 3)
    assert near(kept(options), first.weights[0])


def test_patience_survives_a_resume(options: RunOptions, tmp_path: Path) -> None:
    patient = options.model_copy(update={"patience": 2})
    two = patient.model_copy(update={"loop": options.loop.model_copy(update={"max_steps": 2})})
    train(two, [90, 20, 30], tmp_path / "first")
    run, _ = train(patient, [25, 24], tmp_path / "second", resume=tmp_path / "first" / "2")
    assert run.loop.step == 3


def test_a_run_resumed_from_its_checkpoint_ends_with_the_same_weights(
    options: RunOptions, tmp_path: Path
) -> None:
    straight, _ = train(options, [50, 40, 30, 20, 10], tmp_path / "straight")
    resumed, _ = train(options, [20, 10], tmp_path / "resumed", resume=tmp_path / "straight" / "2")
    assert torch.equal(weight(straight.loop.objective.student), weight(resumed.loop.objective.student))
    assert resumed.best_wer == 10


def test_a_checkpoint_that_is_cut_short_costs_the_steps_since_the_one_before(
    options: RunOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight, _ = train(options, [50, 40, 30, 20, 10], tmp_path / "straight")
    cut_short(tmp_path / "straight" / "3")
    resumed, _ = train(options, [20, 10], tmp_path / "resumed", resume=tmp_path / "straight" / "3")
    assert "expected a whole checkpoint, got one that is cut short" in (told := capsys.readouterr().err)
    assert told.endswith("; going on from step 2 instead.\n")
    assert torch.equal(weight(straight.loop.objective.student), weight(resumed.loop.objective.student))


def test_without_a_whole_checkpoint_nothing_is_removed_and_the_way_out_is_said(
    options: RunOptions, tmp_path: Path
) -> None:
    train(options, [50, 40, 30, 20, 10], tmp_path / "kept")
    for folder in (tmp_path / "kept").iterdir():
        cut_short(folder)
    with pytest.raises(TrainingError, match=r"4/state\.pt: expected a whole .*delete the run's folder"):
        train(options, [20], tmp_path / "resumed", resume=tmp_path / "kept" / "4")
    assert (options.out / "model").is_dir()


def cut_short(folder: Path) -> None:
    file = folder / "state.pt"
    file.write_bytes(file.read_bytes()[:-100])


def test_averaged_weights_are_what_is_evaluated_and_kept(options: RunOptions, tmp_path: Path) -> None:
    averaged = options.model_copy(update={"loop": options.loop.model_copy(update={"ema_decay": 0.9})})
    run, commits = train(averaged, [90, 80, 70, 60, 50], tmp_path / "kept")
    average = run.loop.ema
    assert average is not None
    assert near(kept(options), average.weights["model.decoder.layers.0.fc1.weight"])
    assert not near(kept(options), commits.weights[-1])
    assert run.exported().generation_config.alignment_heads


def test_the_log_has_a_line_for_each_report_and_each_evaluation(options: RunOptions, tmp_path: Path) -> None:
    train(options, [50, 40, 30, 20, 10], tmp_path / "kept")
    lines = [json.loads(line) for line in (options.out / "progress.jsonl").read_text().splitlines()]
    assert [(line["step"], line["wer"]) for line in lines if "wer" in line] == [
        (0, 50),
        (1, 40),
        (2, 30),
        (3, 20),
        (4, 10),
    ]
    reports = [line for line in lines if "loss" in line]
    assert [line["step"] for line in reports] == [2, 4]
    assert reports[1]["loss"] < reports[0]["loss"]
    assert list((options.out / "tensorboard").iterdir())


def test_the_kept_model_is_a_whole_folder_that_generates(options: RunOptions, tmp_path: Path) -> None:
    train(options, None, tmp_path / "kept")
    names = {f.name for f in (options.out / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json"} <= names
    model = load_model(options.out / "model")
    generated = model.generate(torch.zeros(1, 80, 3000), language="en", task="transcribe", max_new_tokens=3)
    assert generated.shape[0] == 1


def test_the_clips_of_a_dev_store_are_evaluated(
    options: RunOptions, clips: list[Clip], tmp_path: Path
) -> None:
    write_store(tmp_path / "dev", clips[:1])
    one_step = options.model_copy(
        update={"dev": tmp_path / "dev", "loop": options.loop.model_copy(update={"max_steps": 1})}
    )
    run, commits = train(one_step, None, tmp_path / "kept")
    assert run.evaluator is not None
    assert run.best_wer < float("inf")
    assert commits.metrics[0]["wer"] >= run.best_wer
    assert not (options.out / "evaluation").exists()


def test_the_kept_model_names_its_languages_and_the_smallest_window_that_it_was_evaluated_on(
    options: RunOptions, clips: list[Clip], tmp_path: Path
) -> None:
    known: dict[str, Any] = {"smallest_window_s": 4.0, "languages": ("fr",)}
    train(options.model_copy(update=known), None, tmp_path / "kept")
    info = ModelInfo.load(options.out / "model")
    assert (info.min_window_s, info.languages) == (4.0, ("fr",))


def test_a_dev_store_without_clips_is_not_evaluated(
    options: RunOptions, clips: list[Clip], tmp_path: Path
) -> None:
    write_store(tmp_path / "dev", clips[:1])
    table = tmp_path / "dev" / "clips.parquet"
    pq.write_table(pq.read_table(table).slice(0, 0), table)
    assert (
        prepared(options.model_copy(update={"dev": tmp_path / "dev"}), None, Commits(tmp_path)).evaluator
        is None
    )


def test_a_teacher_is_loaded_where_one_is_named(options: RunOptions) -> None:
    loop = options.loop.model_copy(update={"max_steps": 1})
    changes = {"teacher": options.start, "objective": ObjectiveOptions(kl_weight=1.0), "loop": loop}
    taught = build_loop(options.model_copy(update=changes), CPU)
    taught.run(lambda at: True)
    assert abs(taught.progress().kl) < 1e-3  # the student is the teacher


def test_a_run_that_stopped_early_is_not_resumed(options: RunOptions, tmp_path: Path) -> None:
    patient = options.model_copy(update={"patience": 2})
    train(patient, [50, 40, 41, 42], tmp_path / "first")

    run, commits = train(patient, [], tmp_path / "second", resume=tmp_path / "first" / "3")
    assert (run.loop.step, commits.metrics) == (3, [])

    more = options.model_copy(update={"patience": 3})
    run, _ = train(more, [45], tmp_path / "third", resume=tmp_path / "first" / "3")
    assert run.loop.step == 4


class KilledError(Exception):
    """Stands for a kill signal."""


def test_joined_windows_hold_no_more_text_than_the_decoder(options: RunOptions, clips: list[Clip]) -> None:
    long = [replace(clip, id=str(i), text="red blue " * 30, words=()) for i, clip in enumerate(clips * 2)]
    write_store(options.train[0], long)
    plan = PlanOptions(join_probability=1.0, join_s=(30.0, 30.0), cut_probability=0.0)
    loop = build_loop(options.model_copy(update={"loop": LoopOptions(max_steps=1, plan=plan)}), CPU)
    windows = [w for batch in loop._plan(0) for w in batch]
    batches = [loop._make([w], Cursor())[0] for w in windows]

    assert 1 < len(windows) < len(long)  # or nothing is joined
    assert all(batch.positions > 0 for batch in batches)
