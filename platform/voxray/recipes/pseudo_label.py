"""Labels a corpus with a teacher: lists it, labels it on Ray, sums up."""

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from voxray import job
from voxray.cluster import cluster
from voxray.corpora.columns import Columns
from voxray.corpora.items import Listing, Rejected
from voxray.corpora.labelled import REJECTED, read_table
from voxray.corpora.sources import CORPUS_KINDS, list_corpus
from voxray.errors import LabellingError
from voxray.labelling.shards import Shards, write_rejected
from voxray.labelling.teacher import Dtype, EngineName, TeacherConfig, binding
from voxray.languages import Language
from voxray.remote_out import OutFolder
from voxray.speech import MAX_PAUSE_S
from voxray.transcript import Task
from voxray.whisper.ctranslate import check_language, trained_languages
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.models import source_digest
from voxray.whisper.tokens import Tokens


class PseudoLabelConfig(Columns):
    """What to label, with which teacher, and where the labels go."""

    corpus: str = Field(description=f"The clips: {CORPUS_KINDS}.")
    teacher: str = "tiny.en"
    """The model that labels: a name such as tiny.en, a folder or a hub name."""
    out: OutFolder
    """The folder for the labels."""
    split: str | None = None
    """The part of the corpus: train, dev or test; null is all of them."""
    language: Language = None
    """The language of all clips; null: each clip's own, else detected."""
    task: Task = "transcribe"
    """What the teacher does: transcribe, or translate to English."""
    timestamps: bool = False
    """Decode with timestamp tokens, for labels with several segments."""
    words: bool = True
    """Find the times of words by alignment."""
    pack: bool = True
    """Decode short clips of a known language together, where the teacher takes windows of 30 s alone."""
    beams: int = Field(default=1, ge=1)
    """Width of the beam search; 1 is greedy."""
    batch_s: float = Field(default=120.0, gt=0)
    """Seconds of audio in one batch of the engine."""
    dtype: Dtype = "auto"
    """Arithmetic of the engine; auto is what it chooses."""
    engine: EngineName = "ctranslate2"
    """The engine; transformers takes any speech model of that library."""
    workers: int = Field(default=1, ge=1)
    """Engines that run at the same time."""
    threads: int = Field(default=0, ge=0)
    """Threads of each engine on a CPU; 0 shares the cores among them."""
    readers: int = Field(default=1, ge=1)
    """Tasks that read and decode audio at the same time."""
    max_pause_s: float | None = MAX_PAUSE_S
    """The pause, in seconds, that ends a clip of a long recording; null fills windows of 30 s."""
    batch_clips: int = Field(default=64, ge=1)
    """Clips given to an engine at a time."""
    shard_s: float = Field(default=600.0, gt=0)
    """Seconds of audio in one shard, which is what a kill can cost."""
    max_rejected: float = Field(default=0.5, ge=0, le=1)
    """The share of rejected clips above which the job ends."""
    overwrite: bool = False
    """Label again even if OUT holds finished labels."""


def run(config: PseudoLabelConfig) -> dict[str, Any]:
    """Label `config.corpus` into `config.out`; return what the JSON line says.

    An unfinished run goes on where it was, unless the teacher, the options or the corpus have changed: then
    its labels are removed. A finished one stands unless `overwrite`. Raises LabellingError where more than
    `max_rejected` of the clips were rejected, which `out/rejected.jsonl` lists.
    """
    began_s = time.monotonic()
    listing = list_corpus(config.corpus, config.split, columns=config)
    teacher, options = _teacher(config), _options(config)
    if config.language and config.engine == "ctranslate2":
        folder = teacher.folder()
        known = trained_languages(Tokens.load(folder), ModelInfo.load(folder))
        check_language(config.language, known, config.teacher)
    columns = [getattr(config, key) for key in Columns.model_fields] if config.given else []
    bound = binding(teacher, options, config.corpus, config.split, config.max_pause_s, *columns)
    with Shards(_prepared(config), bound, source_digest(teacher.name)).open() as shards:
        ledger = Ledger(listing, shards, config.max_rejected)
        before_s = ledger.audio_s()
        _label(config, teacher, options, ledger)
        ledger.close()
        return _result(ledger, before_s, time.monotonic() - began_s)


def _label(
    config: PseudoLabelConfig, teacher: TeacherConfig, options: DecodingOptions, ledger: "Ledger"
) -> None:
    with cluster():
        import ray

        from voxray.labelling.pipeline import Plan, label_items  # Ray Data: 2 s of imports

        gpus = ray.cluster_resources().get("GPU", 0.0)  # type: ignore[no-untyped-call]  # Ray's is not
        plan = Plan(
            engine=teacher,
            options=options,
            workers=config.workers,
            readers=config.readers,
            gpus_per_worker=min(1.0, gpus / config.workers),
            max_pause_s=config.max_pause_s,
            shard_s=config.shard_s,
            batch_clips=config.batch_clips,
        )
        label_items(ledger.listing.items, plan, ledger.shards, ledger.update)


def _prepared(config: PseudoLabelConfig) -> Path:
    """Prepare `out`; a finished run is removed, its result last, so that a kill in between repeats this."""
    out = job.prepare_out(config.out, overwrite=config.overwrite, resume=True)
    if (out / "result.json").exists():
        shutil.rmtree(out / "labelled", ignore_errors=True)
        (out / "result.json").unlink()
    (out / REJECTED).unlink(missing_ok=True)
    return out


def _teacher(config: PseudoLabelConfig) -> TeacherConfig:
    local = Path(config.teacher).expanduser()
    return TeacherConfig(
        name=str(local.resolve()) if local.exists() else config.teacher,  # workers have other folders
        engine=config.engine,
        dtype=config.dtype,
        threads=config.threads or max(1, (os.cpu_count() or 1) // config.workers),
    )


def _options(config: PseudoLabelConfig) -> DecodingOptions:
    return DecodingOptions(
        language=config.language,
        task=config.task,
        timestamps=config.timestamps,
        words=config.words,
        beams=config.beams,
        batch_s=config.batch_s,
        pack=config.pack,
    )


@dataclass(frozen=True)
class Ledger:
    """The progress of a labelling: what was listed, and what its shards hold."""

    listing: Listing
    shards: Shards
    max_rejected: float

    def rejected(self) -> list[Rejected]:
        """Return what was rejected, while listing and while labelling."""
        return [*self.listing.rejected, *self.shards.rejected()]

    def audio_s(self) -> float:
        """Sum the seconds of labelled audio."""
        if not self.shards.files():
            return 0.0
        return float(pc.sum(read_table(self.shards.folder)["duration_s"]).as_py() or 0.0)

    def update(self) -> None:
        """Print the progress to stderr; raise LabellingError where too much is rejected."""
        done, rejected = len(self.shards.done()), self.rejected()
        total = len(self.listing.items)
        print(f"labelled {done} of {total} items, {len(rejected)} rejected", file=sys.stderr, flush=True)
        if len(rejected) > self.max_rejected * (total + len(self.listing.rejected)):
            self._refuse(rejected)

    def close(self) -> None:
        """Write what was rejected; raise LabellingError where nothing was labelled."""
        rejected = self.rejected()
        write_rejected(self.shards.out, rejected)
        if rejected and not self.audio_s():
            self._refuse(rejected)

    def _refuse(self, rejected: list[Rejected]) -> None:
        write_rejected(self.shards.out, rejected)
        self.shards.take_back_rejected()
        total = len(self.listing.items) + len(self.listing.rejected)
        raise LabellingError(
            f"{self.shards.out}: expected at most {self.max_rejected:.0%} of {total} clips to be rejected, "
            f"got {len(rejected)}; see rejected.jsonl there; the first: {rejected[0].reason}"
        )


def _result(ledger: Ledger, before_s: float, wall_s: float) -> dict[str, Any]:
    table = read_table(ledger.shards.folder)
    audio_s = ledger.audio_s()
    return {
        "clips": table.num_rows,
        "rejected": len(ledger.rejected()),
        "audio_s": round(audio_s, 1),
        "wall_s": round(wall_s, 1),
        "rtfx": round((audio_s - before_s) / wall_s, 2),  # of what this run labelled
        "wer": word_error_rate(table),
    }


def word_error_rate(table: pa.Table) -> float | None:
    """Return the WER of a labelled corpus over the clips with a reference, in per cent; None without any.

    Languages written without spaces are counted in characters.
    """
    length, *errors = (
        pc.sum(table[name]).as_py() or 0
        for name in ("reference_length", "substitutions", "deletions", "insertions")
    )
    return round(100 * sum(errors) / length, 2) if length else None
