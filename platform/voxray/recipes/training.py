"""A training that the service supervises: a recipe on an uploaded folder, then its exports.

    python -m voxray.recipes.training check SETTINGS < REQUEST   prints null, or a sentence, as JSON
    python -m voxray.recipes.training run FOLDER SETTINGS        what `serving/trainings/store.py` lists

Run, and not called: the service's processes stay without torch. `run` ends when its stdin does.
"""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from voxray import job
from voxray.audio import SAMPLE_RATE, decode_blocks
from voxray.audio.containers import EXTENSIONS
from voxray.config import Config, load
from voxray.errors import AudioError, ClusterError, ConfigError, CorpusError, ExportError
from voxray.files import atomic_file
from voxray.recipes import adapt, distil, export, finetune, pseudo_label
from voxray.recipes.adapt import AdaptConfig
from voxray.recipes.distil import DistilConfig
from voxray.recipes.export import ExportConfig
from voxray.recipes.finetune import FinetuneConfig
from voxray.recipes.pseudo_label import PseudoLabelConfig
from voxray.serving.settings import TrainingSettings
from voxray.serving.trainings.states import TrainingRequest
from voxray.serving.trainings.store import TrainingFolder
from voxray.whisper.export_formats import Format

CONFIGS: dict[str, type[Config]] = {"finetune": FinetuneConfig, "adapt": AdaptConfig, "distil": DistilConfig}
RESERVED = {
    *("out", "overwrite", "corpus", "model", "teacher", "labelled", "weights"),  # the service sets them
    *("dev_corpus", "dev_split", "student", "start", "windows_per_corpus"),  # places, or of several corpora
    *("wandb_project", "threads", "workers", "cpus_per_worker", "ddp_timeout_s", "keep_checkpoints"),
}
"""Keys that a client may not set: they name places, or are the operator's."""
EXPORTS: dict[str, Format] = {"ct2": "ctranslate2", "ggml": "ggml"}
CHECKED_CLIPS = 20
NICE = 10  # live audio goes first


def check(request: TrainingRequest, settings: TrainingSettings) -> None:
    """Check what can be known before the data is read; ConfigError names the first thing that is wrong."""
    config_of(request, settings, TrainingFolder(Path("training")))


def run(folder: TrainingFolder, settings: TrainingSettings) -> None:
    """Train, and export the model in each of `EXPORTS`; what a killed run had done is not done again."""
    request = folder.request
    if not request.corpus:
        _phase(folder, "checking the audio")
        try:
            check_audio(folder.data, settings.audio_s)
        except CorpusError:
            shutil.rmtree(folder.data, ignore_errors=True)
            raise
    config = config_of(request, settings, folder)
    if isinstance(config, DistilConfig):
        _phase(folder, "labelling")
        label(request, config, settings)
    _phase(folder, "training")
    if not folder.result:
        recipes: dict[str, Callable[[Any], Mapping[str, Any]]]
        recipes = {"finetune": finetune.run, "adapt": adapt.run, "distil": distil.run}
        result = recipes[request.kind](config)
        with atomic_file(folder.out / "result.json") as file:
            file.write_text(job.to_json(result) + "\n")
    for name, format in EXPORTS.items():
        _phase(folder, f"exporting to {name}")
        _export(folder, request, name, format)


def config_of(request: TrainingRequest, settings: TrainingSettings, folder: TrainingFolder) -> Config:
    """Return the recipe's configuration; ConfigError names a key that is wrong, unknown or reserved."""
    for key in request.keys:
        if key.partition(".")[0] in RESERVED:
            raise ConfigError(f"'{key}': expected a key that clients may set, got one that the service sets.")
    corpus = request.corpus or str(folder.data)
    own: dict[str, Any] = {"out": str(folder.out), "threads": _threads(settings)}
    own |= {"model": request.model} if request.kind != "distil" else {"teacher": request.model}
    own |= {"corpus": corpus} if request.kind != "distil" else {"labelled": [str(folder.path / "labels")]}
    return load(CONFIGS[request.kind], {**_nested(request.keys), **own}, where="training")


def _threads(settings: TrainingSettings) -> int:
    return max(1, int(settings.cpus))


def _nested(keys: Mapping[str, str]) -> dict[str, Any]:
    """Return `a.b=value` as mappings; lists are JSON, other values stay text until their field reads them."""
    values: dict[str, Any] = {}
    for key, text in keys.items():
        *groups, last = key.split(".")
        inner = values
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"'{key}': expected a value or a group, got both.")
        inner[last] = _value(key, text)
    return values


def _value(key: str, text: str) -> Any:
    if text in ("", "null"):
        return None
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError as e:
        raise ConfigError(f"'{key}': expected JSON, got text that does not parse ({e}).") from e


def check_audio(folder: Path, limit_s: float) -> float:
    """Return how many seconds all audio in `folder` lasts; CorpusError where it is more than `limit_s`.

    Decoded block by block: a file of a few bytes may last for days. One that cannot be decoded is the job's
    to reject.
    """
    limit, samples = limit_s * SAMPLE_RATE, 0
    for file in sorted(f for f in folder.rglob("*") if f.suffix.lower() in EXTENSIONS):
        try:
            for block in decode_blocks(file, warn=lambda message: None):
                samples += len(block.pcm)
                if samples > limit:
                    raise CorpusError(
                        f"data: expected at most {limit_s:g} s of audio, got more with {file.name[:80]!r}."
                    )
        except AudioError:
            continue
    return samples / SAMPLE_RATE


def label(request: TrainingRequest, config: DistilConfig, settings: TrainingSettings) -> None:
    """Label the corpus of a distillation with its teacher; nothing is done again that is there."""
    out = config.labelled[0]
    if not (out / "result.json").exists():
        corpus = request.corpus or str(out.parent / "data")
        labelling = PseudoLabelConfig(
            corpus=corpus, teacher=config.teacher, out=out, threads=_threads(settings)
        )
        result = pseudo_label.run(labelling)
        (out / "result.json").write_text(job.to_json(result) + "\n")


def _export(folder: TrainingFolder, request: TrainingRequest, name: str, format: Format) -> None:
    """Export the model, checked on the clips that judged it; why it has not passed is in `NAME.error`."""
    place = folder.path / "exports" / name
    if folder.model(name):
        return
    corpus = request.corpus or str(folder.data)
    config = ExportConfig(
        model=str(folder.out / "model"),
        out=place,
        format=format,
        corpus=corpus,
        split=None,
        max_clips=CHECKED_CLIPS,
    )
    try:
        export.run(config)
    except ExportError as e:
        place.with_suffix(".error").write_text(f"{e}\n")


def _phase(folder: TrainingFolder, phase: str) -> None:
    (folder.path / "phase").write_text(f"{phase}\n")
    print(phase, file=sys.stderr, flush=True)


def _end_with_stdin() -> None:
    while os.read(0, 1):  # not through sys.stdin, which must not be in use when Python ends
        pass
    os.killpg(0, signal.SIGKILL)


def main(words: list[str]) -> int:
    """Do what `words` say; return the exit status."""
    settings = TrainingSettings.model_validate_json(words[-1])
    if words[0] == "check":
        try:
            check(TrainingRequest.model_validate_json(sys.stdin.read()), settings)
        except ConfigError as e:
            print(json.dumps(str(e)))
        else:
            print("null")
        return 0
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    os.nice(NICE)
    folder = TrainingFolder(Path(words[1]))
    try:
        run(folder, settings)
    except Exception as e:
        if (sentence := job.explain(e)) is None:
            raise
        (folder.path / "error").write_text(f"{sentence.replace(f'{folder.path}/', '')}\n")
        print(f"error: {sentence}", file=sys.stderr)
        return os.EX_TEMPFAIL if isinstance(e, ClusterError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
