"""The page of a training run: what was trained on what, if it got better, its curves, and clips to hear."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip, ClipStore
from voxray.recipes.outcome import best_wer, by_step, first_wer, last_step, lines, minutes, samples_per_s
from voxray.scoring.metrics import worst
from voxray.scoring.plots import step_curves
from voxray.scoring.report import ModelScores, SummaryRow, clip_rows, summary_row, write_clips, write_page
from voxray.scoring.suites import scores_of
from voxray.training.progress import in_words
from voxray.training.run import RunOptions

SHOWN_CLIPS = 12
SHOWN_REASONS = 20
TOP_WER = 105.0  # per cent: a student before its first steps may have far more, which would flatten the curve
LOSSES = {"loss": "loss", "ce": "cross-entropy", "kl": "KL divergence", "ctc": "CTC"}
UNTIMED = ("RTFx", "Decoder, ms")  # columns of a page of scores; an evaluation in training times neither


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """A model, its texts of the dev clips in their order, and its WER on the test clips in per cent.

    `shown` says whether its texts stand beside the clips on the page.
    """

    name: str
    texts: Sequence[str]
    parameters: int
    wer_test: float | None = None
    shown: bool = True


@dataclass(frozen=True, slots=True)
class RunDescription:
    """What only the job knows of its run. The last of `models` is the one that was kept.

    `subject` is what was trained on what, `left_out` says which clips were not used and why.
    """

    subject: str
    models: Sequence[EvaluatedModel]
    left_out: Sequence[str]
    workers: int
    wer_teacher: float | None = None
    dev_corpus: str | None = None  # None: of what was trained on


def write_run_report(options: RunOptions, run: RunDescription) -> Path:
    """Write `out/report.html` and `out/clips.json` of a run that has ended; return the report's path."""
    dev = with_own_ids(ClipStore([options.dev])) if options.dev else []
    sections = [
        ModelScores(
            m.name, scores_of(dev, m.texts, compute_s=0.0, normaliser=options.normaliser), m.parameters
        )
        for m in run.models
        if m.texts
    ]
    hidden = {m.name for m in run.models if not m.shown}
    shown = [section for section in sections if section.name not in hidden]
    ids = shown_ids(shown)
    rows = clip_rows(shown, ids, {c.id: c.pcm for c in dev}, options.normaliser) if shown else []
    write_clips(options.out / "clips.json", rows)
    return write_page(
        options.out / "report.html",
        "run.html.j2",
        title=run.subject,
        facts=_facts(options, run),
        notes=[verdict(options.out, len(dev), run.wer_teacher), *_on_test(run.models)],
        scores_heading="On the dev clips",
        rows=_rows(sections, run.models),
        plots=curves(options.out, by_step(options.out, "wer"), run.wer_teacher),
        run=_run(options, run, dev),
        left_out=shortened(run.left_out),
        clips_heading="Dev clips, the worst first",
        clips=rows if shown else None,
    )


def verdict(out: Path, clips: int, wer_teacher: float | None = None) -> str:
    """Return in a sentence whether the run in `out` got better."""
    wers, first, best = by_step(out, "wer"), first_wer(out), best_wer(out)
    if first is None or best is None:
        return (
            "There were no dev clips: the last weights were kept, and nothing says whether they are better."
        )
    beside = "" if wer_teacher is None else f" The teacher has {wer_teacher:.2f} %."
    on = f"on {clips:,} dev clips"
    if best >= first:
        return f"WER {on} did not fall below {first:.2f} %, that before training, which was kept.{beside}"
    step = next(step for step, wer in wers.items() if wer == best)
    return f"WER {on} fell from {first:.2f} to {best:.2f} %, after step {step:,}.{beside}"


def _on_test(models: Sequence[EvaluatedModel]) -> list[str]:
    wers = [model.wer_test for model in (models[0], models[-1]) if model.wer_test is not None]
    return (
        [f"WER on the test clips: {wers[0]:.2f} % before, {wers[1]:.2f} % after."] if len(wers) == 2 else []
    )


def curves(out: Path, wers: Mapping[int, float], wer_teacher: float | None = None) -> dict[str, Markup]:
    """Draw the WER on the dev clips by step, and the losses and learning rates that `out` has logged."""
    losses = _losses(out)
    rates = by_step(out, "learning_rate")
    level = None if wer_teacher is None else ("teacher", wer_teacher)
    name = "student" if level else "WER"
    plots = {}
    if wers:
        plots["Dev WER"] = step_curves({name: wers}, "WER, %", "Dev WER", level=level, top=TOP_WER)
    if losses:
        plots["Loss"] = step_curves(losses, "loss per token", "Loss")
        plots["Learning rate"] = step_curves({"rate": rates}, "", "Learning rate")
    return {heading: Markup(svg) for heading, svg in plots.items()}


def _losses(out: Path) -> dict[str, dict[int, float]]:
    """Return the loss and its parts by step: those that are not zero, and none where there is one alone."""
    found = {name: by_step(out, key) for key, name in LOSSES.items()}
    losses = {name: values for name, values in found.items() if any(values.values())}
    return losses if len(losses) > 2 else {name: losses[name] for name in losses if name == "loss"}


def with_own_ids(clips: Iterable[Clip]) -> list[Clip]:
    """Return `clips` with ids that no two share: those of several corpora may be the same."""
    seen: dict[str, int] = {}
    named: list[Clip] = []
    for clip in clips:
        count = seen[clip.id] = seen.get(clip.id, 0) + 1
        named.append(clip if count == 1 else replace(clip, id=f"{clip.id} ({count})"))
    return named


def shown_ids(sections: Sequence[ModelScores]) -> list[str]:
    """Return the clips to show: the worst of the last model, then those that only the first had wrong."""
    if not sections:
        return []
    last = worst(sections[-1].scores.clips, SHOWN_CLIPS)
    first = worst(sections[0].scores.clips, len(sections[0].scores.clips))
    return list(dict.fromkeys(score.id for score in (*last, *first)))[:SHOWN_CLIPS]


def shortened(reasons: Sequence[str]) -> list[str]:
    """Return the first of `reasons`, and how many more there are."""
    more = len(reasons) - SHOWN_REASONS
    return [*reasons[:SHOWN_REASONS], *([f"and {more:,} more"] if more > 0 else [])]


def _facts(options: RunOptions, run: RunDescription) -> dict[str, str]:
    out, store = options.out, ClipStore(options.train)
    rates = {
        "dev WER before": first_wer(out),
        "dev WER": best_wer(out),
        "test WER": run.models[-1].wer_test,
        "the teacher's": run.wer_teacher,
    }
    return {
        **{name: f"{wer:.2f} %" for name, wer in rates.items() if wer is not None},
        "clips": f"{len(store):,}",
        "of audio": in_words(_seconds(store)),
        "steps": f"{last_step(out):,}",
    }


def _seconds(store: ClipStore) -> float:
    return sum(store.samples(i) for i in range(len(store))) / SAMPLE_RATE


def _rows(sections: Sequence[ModelScores], models: Iterable[EvaluatedModel]) -> list[SummaryRow]:
    """Return the rows of the scores, without the times, and with the test clips where there are any."""
    tests = {m.name: m.wer_test for m in models}
    has_test = any(wer is not None for wer in tests.values())
    rows = [summary_row(section, i) for i, section in enumerate(sections)]
    return [replace(row, cells=_cells(row.cells, tests[row.name], has_test=has_test)) for row in rows]


def _cells(cells: Mapping[str, str], wer_test: float | None, *, has_test: bool) -> dict[str, str]:
    kept = {name: cell for name, cell in cells.items() if name not in UNTIMED}
    test = {"Test WER, %": "" if wer_test is None else f"{wer_test:.2f}"} if has_test else {}
    return {**kept, **test}


def _run(options: RunOptions, run: RunDescription, dev: Sequence[Clip]) -> dict[str, str]:
    out, loop, store = options.out, options.loop, ClipStore(options.train)
    reports = [line for line in lines(out) if "threads" in line]
    planned = reports[-1].get("max_steps", loop.max_steps) if reports else loop.max_steps
    speed = samples_per_s(out)
    of = f" of {run.dev_corpus}" if run.dev_corpus else ""
    rows = {
        "trained on": f"{len(store):,} clips, {in_words(_seconds(store))}",
        "evaluated on": f"{len(dev):,} clips, {in_words(sum(c.duration_s for c in dev))}{of}",
        "parameters": f"{run.models[-1].parameters / 1e6:.2f} M",
        "steps": f"{last_step(out):,} of {planned:,}",
        "learning rate": f"{loop.learning_rate:g}, {loop.schedule}",
        "audio in a step": f"{loop.plan.batch_s * loop.gradient_accumulation_steps:g} s",
        "training took": f"{minutes(out):.1f} min, evaluations included",
        "speed": "" if speed is None else f"{speed:.1f} clips/s",
        "workers": f"{run.workers}",
        "threads of each": f"{reports[-1]['threads']}" if reports else "",
    }
    return {name: value for name, value in rows.items() if value}
