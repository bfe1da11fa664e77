"""What the training jobs have in common: their keys, the run that these describe, and how it is resumed."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from voxray import job
from voxray.audio import WINDOW_S
from voxray.corpora.columns import Columns
from voxray.corpora.items import Rejected
from voxray.corpora.sources import iter_clips, list_corpus
from voxray.corpora.store import Clip
from voxray.errors import CorpusError, OutputError
from voxray.remote_out import OutFolder
from voxray.training.evaluation import EvaluationOptions
from voxray.training.loop_options import LoopOptions
from voxray.training.metrics_log import WANDB_ID, LogOptions
from voxray.training.objective import ObjectiveOptions, SpecAugmentOptions
from voxray.training.run import RunOptions
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.tokens import Tokens

FREE = {
    "out",
    "overwrite",
    "workers",
    "threads",
    "evaluate_every",
    "report_every",
    "keep_checkpoints",
    "ddp_timeout_s",
    "patience",
    "cpus_per_worker",
    "wandb_project",
}
"""Keys that may differ when an unfinished run is resumed: no step depends on them."""


MixtureWeights = tuple[Annotated[float, Field(gt=0)], ...]
"""The share of each of several sets of clips; empty: each clip counts the same."""


def several(value: Any) -> Any:
    """Return a list of one for a single value."""
    return value if isinstance(value, list | tuple) else (value,)


class LearningConfig(LoopOptions, EvaluationOptions, LogOptions, SpecAugmentOptions, Columns):
    """The keys of every training job. The defaults are those of distillation."""

    out: OutFolder
    """Folder of the run; its model is OUT/model. On storage that all nodes see."""
    smallest_window_s: float | None = Field(default=None, gt=0)
    """Shortest window in seconds that clips are padded to; null is the shortest that the model passed."""
    dev_corpus: str | None = None
    """A corpus with texts to evaluate on; null evaluates on the dev split of what is learned."""
    dev_split: str | None = None
    """The split of dev_corpus; null is all of it."""
    workers: int = Field(default=1, ge=1)
    """Workers that train together, each with a GPU if there are enough."""
    overwrite: bool = False
    """Start afresh if the folder holds another run or a finished one."""

    @model_validator(mode="after")
    def _split_of_a_corpus(self) -> Self:
        if self.dev_split and not self.dev_corpus:
            raise ValueError(f"expected dev_corpus with dev_split={self.dev_split}, got none")
        return self


def dev_corpus_clips(config: LearningConfig, language: str) -> Iterator[Clip]:
    """Yield the clips of `dev_corpus` that fit a window; `language` is for those that name none.

    Raises CorpusError where there are none with a text.
    """
    assert config.dev_corpus
    listing = list_corpus(config.dev_corpus, config.dev_split, need_text=True, columns=config)
    unusable, rejected = True, list(listing.rejected)
    for read in iter_clips(listing, language=language, max_s=WINDOW_S):
        if isinstance(read, Rejected):
            rejected.append(read)
        else:
            unusable = False
            yield read
    if unusable:
        raise CorpusError(
            f"{config.dev_corpus}: expected clips, got none that can be used: {rejected[0].reason}"
        )


def languages_after(start: Path, learned: Iterable[str]) -> tuple[str, ...]:
    """Return the languages of a model that starts as `start` and learns from clips in those `learned`.

    A vocabulary with tokens for languages keeps what `start` says of itself. One without, as of tiny.en, has
    those of the clips, the most frequent first: nothing else would say that its text is French by now.
    """
    if Tokens.load(start).multilingual:
        return ModelInfo.load(start).languages
    return tuple(language for language, _ in Counter(learned).most_common())


def run_options(
    config: LearningConfig,
    objective: ObjectiveOptions,
    smallest_window_s: float,
    teacher: Path | None = None,
    *,
    teacher_short: bool = True,
) -> RunOptions:
    """Return the run of `config` in its `out`, with the masks of `config` in `objective`."""
    out = config.out.resolve()
    masks = config.model_dump(include=set(SpecAugmentOptions.model_fields))
    return RunOptions(
        **config.model_dump(include={*EvaluationOptions.model_fields, *LogOptions.model_fields}),
        out=out,
        start=out / "start",
        teacher=teacher,
        teacher_short=teacher_short,
        train=(out / "clips-train",),
        dev=out / "clips-dev",
        smallest_window_s=smallest_window_s,
        loop=LoopOptions(**config.model_dump(include=set(LoopOptions.model_fields))),
        objective=objective.model_copy(update=masks),
    )


def prepared(config: LearningConfig) -> Path:
    """Prepare `config.out` and return it; an unfinished run of the same options in it is resumed.

    Raises OutputError if it holds a run of other options or a finished one; `overwrite` removes either.
    """
    out = job.prepare_out(config.out, overwrite=config.overwrite, resume=True)
    file, options = out / "config.json", config.model_dump(mode="json", exclude=FREE)
    before = options_of(file, "max_steps") or options
    # A key that an earlier release did not know had its default there.
    earlier = _with_defaults(before, _defaults(config))
    others = sorted(key for key, value in earlier.items() if value != options.get(key))
    if others and not config.overwrite:
        raise OutputError(
            f"{out}: expected the options of the unfinished run there, got another {others[0]}; "
            "change out=, or add overwrite=true to start afresh."
        )
    if others or (out / "result.json").exists():
        clear(out)
    file.write_text(json.dumps(options) + "\n")
    return out


def _defaults(config: LearningConfig) -> dict[str, Any]:
    """Return the defaults of all options that have one, as they are written."""
    fields = type(config).model_fields.items()
    values = {key: f.get_default(call_default_factory=True) for key, f in fields if not f.is_required()}
    return config.model_copy(update=values).model_dump(mode="json", include=set(values), exclude=FREE)


def _with_defaults(written: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return `written`, and the defaults of what is missing there, in groups of options too."""
    known = {
        k: _with_defaults(v, defaults.get(k) or {}) if isinstance(v, dict) else v for k, v in written.items()
    }
    return {**defaults, **known}


def train_stores(place: Path, sets: int) -> tuple[Path, ...]:
    """Return the clip stores of so many labelled sets at `place`."""
    return (place,) if sets == 1 else tuple(place / str(i) for i in range(sets))


def check_weights(weights: Sequence[float], sets: int, of: str) -> None:
    """Raise ValueError unless there are no `weights`, or one for each of so many sets, and they sum to 1."""
    if weights and len(weights) != sets:
        raise ValueError(f"expected {sets} weights, one for each of {of}")
    if weights and abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"expected weights that sum to 1, got {sum(weights):g}")


def options_of(file: Path, key: str) -> dict[str, Any] | None:
    """Return the options that a run wrote to `file`, all of which have `key`; None where there is no file.

    Raises OutputError where the file is something else's: what lies beside it is not the run's to remove.
    """
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or key not in found:
        raise OutputError(
            f"{file.parent}: expected a folder for a run, got one with another {file.name}; change out=."
        )
    return found


def clear(out: Path) -> None:
    """Remove a run; last its result and its options, so that a killed removal is repeated."""
    for name in (
        "train",
        "cache",
        "model",
        "model.old",
        "clips-train",
        "clips-dev",
        "start",
        "tensorboard",
        "wandb",
        "evaluation",
        "hypotheses",
        "rejected",
        *("clips-test", "selected", "starts", "trials", "tune", "best"),  # of a sweep
    ):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (
        "progress.jsonl",
        WANDB_ID,
        "trials.json",
        "report.html",
        "clips.json",
        "result.json",
        "config.json",
    ):
        (out / name).unlink(missing_ok=True)
