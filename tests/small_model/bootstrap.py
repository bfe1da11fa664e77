"""Make the tests' small model from random weights, or go on from the weights that are there.

    grammar -> espeak-ng, flite, festival -> 30 shards of an hour     recorded digits -> recombined
    stages: short windows with CTC, then windows of several utterances
    -> out/model, out/model-int8 -> scores

Needs Debian's espeak-ng, flite, festival, festvox-kallpc16k, -kdlpc16k and -us-slt-hts. Hours on two cores,
minutes on a GPU. The cache folder outside the tree keeps shards and checkpoints: the same command goes on.

    python -m tests.small_model.bootstrap --config tests/small_model/bootstrap.yaml
    [start=tests/small_model/model]
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from tests.small_model import SMALL_MODEL
from tests.small_model.random_model import random_model
from tests.small_model.recombined import recombined
from tests.small_model.scores import score_all
from tests.small_model.synthesis.corpus import held_out_corpus, known_dev, write_corpus

from voxray import job
from voxray.audio import WINDOW_S
from voxray.config import Config
from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip, ClipStore, write_store
from voxray.errors import ConfigError
from voxray.files import atomic_directory, replace_directory
from voxray.text import NormaliserName
from voxray.training.evaluation import EvaluationOptions
from voxray.training.loop_options import LoopOptions
from voxray.training.objective import ObjectiveOptions
from voxray.training.run import Run, RunOptions, build_loop
from voxray.whisper.checkpoint import load_model, parameters, save_model
from voxray.whisper.ctranslate import WINDOWS_S
from voxray.whisper.export import CheckSet, export
from voxray.whisper.models import hf_folder

CHECK_CLIPS = 60  # for the check of the export
UNSEEN = "nicolas"  # the unseen speaker of later experiments


class Stage(EvaluationOptions):
    """One stretch of training; the next one starts from its best weights."""

    name: str
    normaliser: NormaliserName = "basic"
    evaluate_every: int = Field(default=500, ge=1)
    smallest_window_s: float = Field(default=WINDOWS_S[0], gt=0)
    loop: LoopOptions
    objective: ObjectiveOptions


class BootstrapConfig(Config):
    """How the small model is made."""

    out: Path
    """Folder of the model, of its int8 export and of their scores."""
    cache: Path = Path.home() / ".cache" / "voxray" / "bootstrap"
    """Folder of the synthetic corpus and of the checkpoints."""
    start: str | None = None
    """Continue from the weights of this model; null starts from random ones."""
    hours: float = Field(default=30.0, gt=0)
    """Hours of synthetic speech."""
    seed: int = 1
    """Seed of the synthetic corpus, of recombination and of the random weights."""
    digits: Path | None = None
    """Folder of recorded digits, with an audio folder for each speaker; null uses none."""
    speakers: tuple[str, ...] = ("george", "jackson", "lucas")
    """Speakers of those recordings that are trained on."""
    recombined: int = Field(default=2000, ge=0)
    """Digit strings made from the single digits of the recordings."""
    digit_repeats: int = Field(default=2, ge=0)
    """How often an epoch uses each recording."""
    stages: tuple[Stage, ...]
    """Stages of training, each with a name, evaluate_every, smallest_window_s, loop and objective."""
    overwrite: bool = False
    """Replace a finished model in the folder."""


def run(config: BootstrapConfig) -> dict[str, Any]:
    """Make the model: `out/model` (Hugging Face, float16) and `out/model-int8`; scores in per cent."""
    if UNSEEN in config.speakers:
        raise ConfigError(
            f"speakers: {UNSEEN} is the unseen speaker of the scores; leave it out of training."
        )
    out = job.prepare_out(config.out, overwrite=config.overwrite, resume=True)
    synthetic = config.cache / "synth"
    write_corpus(synthetic / "train", config.hours, config.seed, max(1, round(config.hours)))
    known = _known(synthetic)
    train = [*sorted(synthetic.glob("train/shard-*[0-9]")), *_recorded(config)]
    weights = _first_weights(config)
    for stage in config.stages:
        weights = _trained(config, stage, weights, train, known)
    model = load_model(weights)
    with atomic_directory(out / "model") as part:
        save_model(model, part, weights)
    check = ClipStore([known])[:CHECK_CLIPS]
    pcm, texts = [c.pcm for c in check], [c.text for c in check]
    exported = export(out / "model", out / "model-int8", CheckSet(pcm, references=texts))
    exported.info.save(out / "model")
    held_out_corpus(synthetic)
    scores = score_all(out / "model-int8", synthetic, config.digits)
    return {"parameters": parameters(model), "min_window_s": exported.info.min_window_s, **scores}


def _known(synthetic: Path) -> Path:
    folder = synthetic / "dev-known"
    if not folder.exists():
        known_dev(synthetic)
    return folder


def _recorded(config: BootstrapConfig) -> list[Path]:
    """Return the store of recorded digits, as often as an epoch uses it; nothing without recordings."""
    if config.digits is None:
        return []
    folder = config.cache / "synth" / "recorded"
    if not folder.exists():
        clips: list[Clip] = []
        for speaker in config.speakers:
            found, _ = load_clips(str(config.digits / speaker), "train", max_s=WINDOW_S)
            clips += [replace(c, speaker=speaker) for c in found]
        write_store(folder, [*clips, *recombined(clips, config.recombined, 7, config.seed)])
    return [folder] * config.digit_repeats


def _first_weights(config: BootstrapConfig) -> Path:
    if config.start is not None:
        return hf_folder(config.start)
    folder = config.cache / "random"
    if not folder.exists():
        shape = SMALL_MODEL
        save_model(random_model(shape, config.seed), folder, shape, dtype=torch.float32)
    return folder


def _trained(
    config: BootstrapConfig, stage: Stage, weights: Path, train: Sequence[Path], known: Path
) -> Path:
    """Return the best weights of `stage`, trained from `weights` unless it is finished."""
    folder = config.cache / "stages" / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    options = RunOptions(
        out=folder,
        start=weights,
        train=tuple(train),
        dev=known,
        **stage.model_dump(exclude={"name", "loop", "objective"}),
        loop=stage.loop,
        objective=stage.objective,
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = folder / "checkpoint"

    def commit(_: dict[str, float], part: Path | None) -> None:
        if part:
            replace_directory(part, checkpoint)

    run = Run(options, build_loop(options, device), commit)
    if checkpoint.exists():
        run.restore(checkpoint)
    run.train()
    return folder / "model"


if __name__ == "__main__":
    sys.exit(job.main(__doc__, BootstrapConfig, run))
