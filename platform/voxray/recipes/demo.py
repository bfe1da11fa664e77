"""The whole of training on real Whisper in a few minutes, on what comes with the package.

sample clips -> pseudo-label -> filter -> distil to two decoder layers -> export -> score -> transcribe
"""

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.console import Console
from rich.table import Table

from voxray import job
from voxray.cluster import cluster
from voxray.config import Config
from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip
from voxray.recipes import distil, export, pseudo_label
from voxray.scoring.report import ModelScores, ReportTable, write_report
from voxray.scoring.suites import score_engine, stage_times
from voxray.scoring.windows import TeacherTexts, WindowEvaluator
from voxray.training.augment import AugmentOptions
from voxray.training.collate import LabelOptions
from voxray.training.plan import PlanOptions
from voxray.transcribe import transcribe
from voxray.whisper.ctranslate import PADDED_S, CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.models import DEFAULT_MODEL, STOCK, ctranslate2_folder

ENGLISH = DecodingOptions(language="en")
TIMED_CLIPS = 10
SCORED_WINDOWS_S = (2.0, 6.0, 15.0, 30.0)  # of the seven: each is another pass of every model
NEXT = """
Next, on your own audio: a folder of <name>.wav (or flac, mp3, ogg ...), with <name>.txt beside it where you
have the words. Then
  python jobs/pseudo_label.py --config jobs/configs/pseudo_label.yaml corpus=FOLDER split=null \\
      out=runs/mine/labels
  python jobs/distil.py --config jobs/configs/distil.yaml labelled=runs/mine/labels out=runs/mine/student
  python jobs/export.py --config jobs/configs/export.yaml model=runs/mine/student/model out=runs/mine/int8
  voxray transcribe --model runs/mine/int8 RECORDING
"""

WindowRates = Mapping[str, Sequence[float | None]]
"""WER in per cent by model, in the order of `SCORED_WINDOWS_S`."""


class DemoConfig(Config):
    """Options of the demo; the defaults are what `make demo` runs."""

    out: Path = Path("runs/demo")
    """Folder of labels, student, export and report."""
    max_steps: int = Field(default=100, ge=3)
    """Optimiser steps of the distillation."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate of AdamW."""
    decoder_layers: int = Field(default=2, ge=1, le=4)
    """Decoder layers of the student; the teacher has four."""
    overwrite: bool = True
    """Replace what an earlier run left in the folder."""


def run(config: DemoConfig) -> dict[str, Any]:
    """Label, filter, distil, export, score, transcribe; prints tables to stderr and writes a report."""
    start_s = time.monotonic()
    out = job.prepare_out(config.out, overwrite=config.overwrite)
    for old in ("labels", "student", "int8"):
        shutil.rmtree(out / old, ignore_errors=True)
    with cluster():
        _say(f"1 of 5  {DEFAULT_MODEL} labels 320 clips")
        labelled = pseudo_label.run(_labels(out))
        _say(f"2 of 5  a student with {config.decoder_layers} decoder layers learns from the labels")
        student = distil.run(_student(config, out))
    _say("3 of 5  the student is exported to int8 and checked against its source")
    exported = export.run(_export(out))
    _say("4 of 5  all are scored on 40 clips that the student was not trained on")
    clips, _ = load_clips("builtin", "test")
    models = _scored(out, student, clips)
    windows = _by_window(out, clips, [clip.hypothesis for clip in models[0].scores.clips])
    _report(out, models, windows, clips)
    _say("5 of 5  the student transcribes one of them")
    text = transcribe(clips[0].pcm, CTranslate2Engine(out / "int8"), ENGLISH).text
    _show(models, windows)
    Console(stderr=True, width=110).print(f"Transcript: {text}\nReport: {out / 'report.html'}\n{NEXT}")
    teacher, pupil = models
    return {
        "clips": labelled["clips"],
        "kept": student["kept"],
        "dropped": student["dropped"],
        "wer_teacher": _percent(teacher),
        "wer_student": _percent(pupil),
        "parameters_teacher": student["parameters_teacher"],
        "parameters_student": student["parameters_student"],
        "decoder_speedup": round(_decoder_ms(teacher) / _decoder_ms(pupil), 2),
        "rtfx_teacher": round(teacher.scores.rtfx, 1),
        "rtfx_student": round(pupil.scores.rtfx, 1),
        "min_window_s": exported["min_window_s"],
        "samples_per_s": student["samples_per_s"],
        "minutes": round((time.monotonic() - start_s) / 60, 1),
        "windows_s": list(SCORED_WINDOWS_S),
        "wer_by_window": windows,
        "report": str(out / "report.html"),
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _labels(out: Path) -> pseudo_label.PseudoLabelConfig:
    return pseudo_label.PseudoLabelConfig(
        corpus="builtin", split="train", teacher=DEFAULT_MODEL, out=out / "labels", language="en"
    )


def _student(config: DemoConfig, out: Path) -> distil.DistilConfig:
    return distil.DistilConfig(
        labelled=(out / "labels",),
        teacher=DEFAULT_MODEL,
        out=out / "student",
        decoder_layers=config.decoder_layers,
        freeze_embeddings=True,
        num_sampled=2000,
        ce_weight=0.2,
        max_steps=config.max_steps,
        learning_rate=config.learning_rate,
        evaluate_every=max(1, config.max_steps // 3),
        max_dev_clips=24,
        plan=PlanOptions(batch_s=60.0, full_probability=0.0, cut_probability=0.3, speed_probability=0.3),
        labels=LabelOptions(timestamp_probability=0.1, previous_text_probability=0.0),
        augment=AugmentOptions(noise=0.3, gain_db=6.0),
    )


def _export(out: Path) -> export.ExportConfig:
    return export.ExportConfig(model=str(out / "student" / "model"), out=out / "int8", max_clips=20)


def _scored(out: Path, student: Mapping[str, Any], clips: Sequence[Clip]) -> list[ModelScores]:
    """Score teacher and student on the held-out clips, both in int8."""
    engines = [CTranslate2Engine(ctranslate2_folder(DEFAULT_MODEL)), CTranslate2Engine(out / "int8")]
    times = stage_times(engines, [c.pcm for c in clips[:TIMED_CLIPS]], ENGLISH)
    names = (f"teacher ({DEFAULT_MODEL})", "student")
    sizes = (student["parameters_teacher"], student["parameters_student"])
    return [
        ModelScores(name, score_engine(engine, clips, ENGLISH), size, time.decoder_ms)
        for name, engine, size, time in zip(names, engines, sizes, times, strict=True)
    ]


def _by_window(out: Path, clips: Sequence[Clip], said: Sequence[str]) -> WindowRates:
    """Return the WER of stock Whisper, the teacher and the student on each window."""
    evaluator = WindowEvaluator(clips, TeacherTexts(said, invented=0))
    folders = {
        f"{DEFAULT_MODEL}, stock": ctranslate2_folder(DEFAULT_MODEL + STOCK),
        f"teacher ({DEFAULT_MODEL})": ctranslate2_folder(DEFAULT_MODEL),
        "student": out / "int8",
    }
    engines = {name: CTranslate2Engine(folder) for name, folder in folders.items()}
    return {
        name: [evaluator.score(engine, window).wer for window in SCORED_WINDOWS_S]
        for name, engine in engines.items()
    }


def _report(out: Path, models: Sequence[ModelScores], windows: WindowRates, clips: Sequence[Clip]) -> None:
    write_report(
        out / "report.html",
        "Voxray demo: a teacher and its student",
        models,
        audio={c.id: c.pcm for c in clips},
        notes=[
            "40 sample clips that the student was not trained on, in a synthetic voice.",
            f"A clip is padded to the next of {', '.join(f'{s:g}' for s in PADDED_S)} s, and to the smallest "
            "window at least; stock Whisper was trained on 30 s alone and repeats itself on less.",
            f"Decoder time: median of five int8 runs over {TIMED_CLIPS} clips, the models in turn.",
        ],
        tables=[ReportTable("WER, %, by smallest window", _columns(), _window_rows(windows))],
    )


def _columns() -> list[str]:
    return ["Model", *(f"{window:g} s" for window in SCORED_WINDOWS_S)]


def _window_rows(windows: WindowRates) -> list[list[str]]:
    return [
        [name, *("-" if rate is None else f"{rate:.1f}" for rate in rates)] for name, rates in windows.items()
    ]


def _percent(model: ModelScores) -> float:
    return round(100 * model.scores.summary.wer, 2)


def _decoder_ms(model: ModelScores) -> float:
    return model.decoder_ms or float("nan")


def _show(models: Sequence[ModelScores], windows: WindowRates) -> None:
    scores = Table("", "WER, %", "parameters", "decoder, ms per clip", "RTFx")
    for m in models:
        size = f"{(m.parameters or 0) / 1e6:.1f} M"
        scores.add_row(m.name, f"{_percent(m):.1f}", size, f"{_decoder_ms(m):.1f}", f"{m.scores.rtfx:.0f}")
    by_window = Table(*_columns(), title="WER, %, by smallest window", title_justify="left")
    for row in _window_rows(windows):
        by_window.add_row(*row)
    Console(stderr=True, width=110).print(scores, by_window)
