"""The page of an adaptation: each window before and after, curves, and dev clips on the smallest window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voxray.audio import WINDOW_S
from voxray.recipes.adapt_scores import COLUMNS, score_rows
from voxray.recipes.outcome import by_step
from voxray.recipes.run_report import curves, shortened, shown_ids, with_own_ids
from voxray.scoring.report import ModelScores, ReportTable, clip_rows, write_clips, write_page
from voxray.scoring.suites import scores_of
from voxray.scoring.windows import WindowEvaluator, WindowScore, smallest_passed
from voxray.training.progress import in_words


@dataclass(frozen=True, slots=True)
class Adaptation:
    """An adaptation that has ended. `texts` are of the dev clips, on the smallest window that passed.

    `trained` is the training's part of the job's result, `audio_s` the length of the `clips` it learned from.
    """

    model: str
    corpora: Sequence[str]
    clips: int
    audio_s: float
    tolerance: float
    trained: Mapping[str, Any]
    before: Sequence[WindowScore]
    after: Sequence[WindowScore]
    texts: Sequence[str]
    left_out: Sequence[str]

    @property
    def window_s(self) -> float:
        """The smallest window that passed, 30 s where none did."""
        return smallest_passed(self.after, self.tolerance) or WINDOW_S


def write_adapt_report(out: Path, run: Adaptation, evaluator: WindowEvaluator) -> Path:
    """Write `out/report.html` and `out/clips.json`, and return the report's path."""
    sections = _sections(run, evaluator)
    ids = shown_ids(sections)
    audio = {clip.id: clip.pcm for clip in with_own_ids(evaluator.clips)}
    rows = clip_rows(sections, ids, audio, evaluator.name)
    write_clips(out / "clips.json", rows)
    return write_page(
        out / "report.html",
        "run.html.j2",
        title=f"Adapting {run.model} to short windows on {', '.join(run.corpora)}",
        facts=_facts(run),
        notes=[verdict(run), f"Dev WER by step is that on windows from {run.after[0].window_s:g} s."],
        tables=[
            ReportTable(
                "By smallest window, before and after",
                COLUMNS,
                score_rows(run.before, run.after, run.tolerance),
            ),
        ],
        run=_trained(run, len(evaluator.clips)),
        plots=curves(out, _wers(run, out)),
        left_out=shortened(run.left_out),
        clips_heading=f"Dev clips on windows from {run.window_s:g} s, the worst first",
        reference_name="reference" if evaluator.referenced else "the model on 30 s",
        clips=rows,
    )


def verdict(run: Adaptation) -> str:
    """Return in a sentence what the adaptation reached."""
    passed_s, was = smallest_passed(run.after, run.tolerance), smallest_passed(run.before, run.tolerance)
    before = "none did" if was is None else f"those from {was:g} s up did"
    if passed_s is None:
        return f"No window passes: the adapted model is worse than {run.model} on 30 s too; before, {before}."
    return (
        f"Windows from {passed_s:g} s up pass: on them the adapted model transcribes as {run.model} does on "
        f"30 s, within the tolerance; before, {before}."
    )


def _sections(run: Adaptation, evaluator: WindowEvaluator) -> list[ModelScores]:
    """Return the teacher on 30 s and the adapted model; without texts, the teacher's are the references."""
    clips, texts = with_own_ids(evaluator.clips), evaluator.teacher.texts
    models = {"the model on 30 s": texts, "adapted": run.texts}
    if not evaluator.referenced:
        clips = [replace(clip, text=text) for clip, text in zip(clips, texts, strict=True)]
        models = {"adapted": run.texts}
    return [
        ModelScores(name, scores_of(clips, its, compute_s=0.0, normaliser=evaluator.name))
        for name, its in models.items()
    ]


def _wers(run: Adaptation, out: Path) -> dict[int, float]:
    """Return the WER on the smallest window that was trained, by step."""
    return {
        0: run.before[0].rate,
        **by_step(out, "wer"),
        int(run.trained["steps"]): run.after[0].rate,
    }


def _facts(run: Adaptation) -> dict[str, str]:
    old, new = run.before[0], run.after[0]
    name = "WER" if new.wer is not None else "WER to the model on 30 s"
    return {
        "smallest window that passes": f"{run.window_s:g} s",
        f"{name} from {new.window_s:g} s before": f"{old.rate:.2f} %",
        f"{name} from {new.window_s:g} s": f"{new.rate:.2f} %",
        "clips": f"{run.clips:,}",
        "of audio": in_words(run.audio_s),
        "steps": f"{run.trained['steps']:,}",
    }


def _trained(run: Adaptation, clips: int) -> dict[str, str]:
    trained = run.trained
    return {
        "trained on": f"{run.clips:,} clips, {in_words(run.audio_s)}, as {trained['windows']:,} windows",
        "evaluated on": f"{clips:,} clips",
        "parameters trained": f"{trained['parameters_trained'] / 1e6:.2f} M",
        "steps": f"{trained['steps']:,}",
        "training took": f"{trained['minutes']:.1f} min, checks included",
        "speed": f"{trained['samples_per_s']:.1f} clips/s",
    }
