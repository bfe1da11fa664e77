"""All steps of training in a few minutes, on the clips and model of the package.

sample clips -> pseudo-label -> filter -> distil to one decoder layer -> score both -> export -> transcribe
"""

import shutil
import sys
from collections.abc import Sequence
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
from voxray.scoring.report import ModelScores, write_report
from voxray.scoring.suites import score_engine, stage_times
from voxray.training.augment import AugmentOptions
from voxray.training.collate import LabelOptions
from voxray.training.plan import PlanOptions
from voxray.transcribe import transcribe
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.models import ctranslate2_folder

NEXT = """
Next, on your own audio: a folder of <name>.wav (or flac, mp3, ogg ...), with <name>.txt beside it where you
have the words. Then
  python jobs/pseudo_label.py --config jobs/configs/pseudo_label.yaml corpus=FOLDER out=runs/mine/labels
  python jobs/distil.py --config jobs/configs/distil.yaml labelled=runs/mine/labels out=runs/mine/student
  python jobs/export.py --config jobs/configs/export.yaml model=runs/mine/student/model out=runs/mine/int8
  voxray transcribe --model runs/mine/int8 RECORDING
"""


class DemoConfig(Config):
    """Options of the demo; the defaults are what `make demo` runs."""

    out: Path = Path("runs/demo")
    """Folder of labels, student, export and report."""
    max_steps: int = Field(default=500, ge=3)
    """Optimiser steps of the distillation."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak learning rate of AdamW."""
    wer_threshold: float = Field(default=20.0, gt=0)
    """Clips whose label has this WER or a higher one, in per cent, are dropped."""
    decoder_layers: int = Field(default=1, ge=1, le=2)
    """Decoder layers of the student; the teacher has two."""
    timing_clips: int = Field(default=40, ge=1, le=40)
    """Test clips on which both models are timed."""
    overwrite: bool = True
    """Replace what an earlier run left in the folder."""


def run(config: DemoConfig) -> dict[str, Any]:
    """Label, filter, distil, export, score, transcribe; prints a table to stderr and writes a report."""
    out = job.prepare_out(config.out, overwrite=config.overwrite)
    for old in ("labels", "student", "int8"):
        shutil.rmtree(out / old, ignore_errors=True)
    with cluster():
        _say("1 of 5  tiny.en labels 320 clips")
        labelled = pseudo_label.run(_labels(out))
        _say(f"2 of 5  a student with {config.decoder_layers} decoder layer learns from the labels")
        student = distil.run(_student(config, out))
    _say("3 of 5  the student is exported to int8 and checked against its source")
    exported = export.run(_export(out))
    _say("4 of 5  teacher and student are scored on 40 clips that neither was trained on")
    models = _scored(out, student, config.timing_clips)
    _say("5 of 5  the student transcribes one of them")
    text = _transcribed(out / "int8")
    _show(models)
    Console(stderr=True, width=110).print(f"Transcript: {text}\nReport: {out / 'report.html'}\n{NEXT}")
    teacher, pupil = models
    return {
        "clips": labelled["clips"],
        "kept": student["kept"],
        "dropped": student["dropped"],
        "wer_teacher": round(100 * teacher.scores.summary.wer, 2),
        "wer_student": round(100 * pupil.scores.summary.wer, 2),
        "parameters_teacher": student["parameters_teacher"],
        "parameters_student": student["parameters_student"],
        "decoder_speedup": round(_decoder_ms(teacher) / _decoder_ms(pupil), 2),
        "rtfx_teacher": round(teacher.scores.rtfx, 1),
        "rtfx_student": round(pupil.scores.rtfx, 1),
        "min_window_s": exported["min_window_s"],
        "report": str(out / "report.html"),
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _labels(out: Path) -> pseudo_label.PseudoLabelConfig:
    return pseudo_label.PseudoLabelConfig(corpus="builtin", split="train", out=out / "labels", language="en")


def _student(config: DemoConfig, out: Path) -> distil.DistilConfig:
    return distil.DistilConfig(
        labelled=out / "labels",
        out=out / "student",
        decoder_layers=config.decoder_layers,
        wer_threshold=config.wer_threshold,
        ce_weight=0.2,
        max_steps=config.max_steps,
        learning_rate=config.learning_rate,
        evaluate_every=max(1, config.max_steps // 3),
        ema_decay=0.99,
        plan=PlanOptions(batch_s=60.0, full_probability=0.0, cut_probability=0.3, speed_probability=0.5),
        labels=LabelOptions(timestamp_probability=0.1),
        augment=AugmentOptions(noise=0.3, gain_db=6.0),
    )


def _export(out: Path) -> export.ExportConfig:
    return export.ExportConfig(model=str(out / "student" / "model"), out=out / "int8")


def _scored(out: Path, student: dict[str, Any], timing_clips: int) -> list[ModelScores]:
    """Score teacher and student on the held-out clips, both in int8, and write the report."""
    clips, _ = load_clips("builtin", "test")
    engines = [CTranslate2Engine(ctranslate2_folder("tiny.en")), CTranslate2Engine(out / "int8")]
    options = DecodingOptions(language="en")
    times = stage_times(engines, [c.pcm for c in clips[:timing_clips]], options)
    names = ("teacher (tiny.en)", "student")
    sizes = (student["parameters_teacher"], student["parameters_student"])
    models = [
        ModelScores(name, score_engine(engine, clips, options), size, time.decoder_ms)
        for name, engine, size, time in zip(names, engines, sizes, times, strict=True)
    ]
    _report(out, models, clips)
    return models


def _report(out: Path, models: Sequence[ModelScores], clips: Sequence[Clip]) -> None:
    write_report(
        out / "report.html",
        "Voxray demo: a teacher and its student",
        models,
        audio={c.id: c.pcm for c in clips},
        notes=[
            "40 sample clips that neither was trained on.",
            "Decoder time: median of five int8 runs, the two models in turn, one clip at a time.",
        ],
    )


def _transcribed(model: Path) -> str:
    clip = load_clips("builtin", "test")[0][0]
    return transcribe(clip.pcm, CTranslate2Engine(model), DecodingOptions(language="en")).text


def _decoder_ms(model: ModelScores) -> float:
    return model.decoder_ms or float("nan")


def _show(models: Sequence[ModelScores]) -> None:
    table = Table("", "WER, %", "parameters", "decoder, ms per clip", "RTFx")
    for m in models:
        table.add_row(
            m.name,
            f"{100 * m.scores.summary.wer:.1f}",
            f"{(m.parameters or 0) / 1e6:.2f} M",
            f"{_decoder_ms(m):.1f}",
            f"{m.scores.rtfx:.0f}",
        )
    Console(stderr=True, width=110).print(table)
