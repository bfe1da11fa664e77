"""Make the tests' small model from random weights, or go on from the weights that are there.

    grammar -> espeak-ng, flite, festival -> 30 shards of an hour     recorded digits -> recombined
    stages: short windows with CTC, then windows of several utterances
    -> out/model, out/model-int8 -> scores

Needs Debian's espeak-ng, flite, festival, festvox-kallpc16k, -kdlpc16k and -us-slt-hts. Hours on two cores,
minutes on a GPU. The cache folder outside the tree keeps shards and checkpoints: the same command goes on.

    python -m tests.small_model.bootstrap --config tests/small_model/bootstrap.yaml
    [start=tests/small_model/model]
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from tests.small_model import SMALL_MODEL
from tests.small_model.recombined import recombined
from tests.small_model.scores import score_all
from tests.small_model.synthesis.corpus import held_out_corpus, known_dev, write_corpus

from voxray import job
from voxray.audio import WINDOW_S
from voxray.config import Config
from voxray.corpora.sources import load_clips
from voxray.corpora.store import Clip, ClipStore, write_store
from voxray.errors import ConfigError
from voxray.training.loop import LoopOptions
from voxray.training.run import Run, RunOptions, build_loop
from voxray.whisper.checkpoint import load_model, parameters, random_model, save_model
from voxray.whisper.export import export
from voxray.whisper.models import hf_folder

CHECK_CLIPS = 60  # what the export is checked on
NEVER_HEARD = "nicolas"  # the unseen speaker of later experiments


class Stage(Config):
    """One stretch of training; the next one starts from its best weights."""

    name: str
    loop: LoopOptions
    evaluate_every: int = 500


class BootstrapConfig(Config):
    """How the small model is made."""

    out: Path
    cache: Path = Path.home() / ".cache" / "voxray" / "bootstrap"
    start: str | None = None  # go on from this model's weights; null: random ones
    hours: float = Field(default=30.0, gt=0)
    seed: int = 1
    digits: Path | None = None  # folder of recorded digits, an audio folder per speaker
    speakers: tuple[str, ...] = ("george", "jackson", "lucas")
    recombined: int = 2000  # digit strings made from the recordings' single digits
    digit_repeats: int = 2  # how often an epoch hears each recording
    stages: tuple[Stage, ...]
    threads: int = 0
    overwrite: bool = False


def run(config: BootstrapConfig) -> dict[str, Any]:
    """Make the model: `out/model` (Hugging Face, float16) and `out/model-int8`; scores in per cent."""
    if NEVER_HEARD in config.speakers:
        raise ConfigError(f"speakers: {NEVER_HEARD} stays unheard, so that he can be an unseen speaker.")
    out = job.prepare_out(config.out, overwrite=config.overwrite, resume=True)
    synthetic = config.cache / "synth"
    write_corpus(synthetic / "train", config.hours, config.seed, max(1, round(config.hours)))
    known = _known(synthetic)
    train = [*sorted(synthetic.glob("train/shard-*[0-9]")), *_recorded(config)]
    weights = _first_weights(config)
    for stage in config.stages:
        weights = _trained(config, stage, weights, train, known)
    shutil.rmtree(out / "model", ignore_errors=True)
    model = load_model(weights)
    save_model(model, out / "model", weights)
    check = ClipStore([known])[:CHECK_CLIPS]
    pcm, texts = [c.pcm for c in check], [c.text for c in check]
    exported = export(out / "model", out / "model-int8", "int8", pcm, references=texts)
    shutil.copy(exported.path / "voxray.json", out / "model")
    held_out_corpus(synthetic)
    scores = score_all(out / "model-int8", synthetic, config.digits)
    return {"parameters": parameters(model), "min_window_s": exported.min_window_s, **scores}


def _known(synthetic: Path) -> Path:
    folder = synthetic / "dev-known"
    if not folder.exists():
        known_dev(synthetic)
    return folder


def _recorded(config: BootstrapConfig) -> list[Path]:
    """The store of recorded digits, as often as an epoch hears it; nothing without recordings."""
    if config.digits is None:
        return []
    folder = config.cache / "synth" / "recorded"
    if not folder.exists():
        clips: list[Clip] = []
        for speaker in config.speakers:
            found, _ = load_clips(str(config.digits / speaker), "train", max_s=WINDOW_S)
            clips += [_spoken_by(c, speaker) for c in found]
        write_store(folder, [*clips, *recombined(clips, config.recombined, 7, config.seed)])
    return [folder] * config.digit_repeats


def _spoken_by(clip: Clip, speaker: str) -> Clip:
    return Clip(clip.id, clip.pcm, clip.text, speaker, clip.language, clip.words)


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
    """The best weights of `stage`, trained from `weights` where it is not finished."""
    folder = config.cache / "stages" / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    options = RunOptions(
        out=folder,
        start=weights,
        train=tuple(train),
        dev=known,
        normaliser="basic",
        loop=stage.loop,
        evaluate_every=stage.evaluate_every,
        threads=config.threads,
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoint = folder / "checkpoint"

    def commit(_: dict[str, float], part: Path | None) -> None:
        if part:
            shutil.rmtree(checkpoint, ignore_errors=True)
            part.rename(checkpoint)

    run = Run(options, build_loop(options, device), commit)
    if checkpoint.exists():
        run.restore(checkpoint)
    if run.loop.step < stage.loop.max_steps:
        run.train()
    return folder / "model"


if __name__ == "__main__":
    sys.exit(job.main(__doc__, BootstrapConfig, run))
