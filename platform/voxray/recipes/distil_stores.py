"""The clips that a student learns, written where its workers read them, a part for each shard of labels."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voxray.corpora.labelled import ShardSelection, read_selection, shard_selections
from voxray.corpora.store import part_folder, write_store
from voxray.files import atomic_directory
from voxray.labelling.packing import PackingOptions, pack
from voxray.whisper.labels import label_room, text_tokens
from voxray.whisper.models import hf_folder
from voxray.whisper.tokens import Tokens

if TYPE_CHECKING:
    from voxray.recipes.distil import DistilConfig

CPUS_EACH = 0.5  # logical, for a task that writes a part


@dataclass(frozen=True, slots=True)
class StorePart:
    """A part of a store: its folder, and what is written there."""

    folder: Path
    selection: ShardSelection
    config: "DistilConfig"


MapParts = Callable[[Callable[[StorePart], None], Iterable[StorePart]], Iterable[None]]
"""Applies a function to all parts, in any order, as `map` does."""


def write_train_store(
    place: Path, config: "DistilConfig", ids: Collection[str], over: MapParts = map
) -> None:
    """Write the clips called `ids` of the one labelled set of `config` to `place`, unless it is there.

    `over` writes the parts; with `on_ray`, tasks on the cluster do, and no audio goes through this process.
    """
    if place.exists():
        return
    chosen = shard_selections(config.labelled[0], ids, references=not config.use_pseudo_labels)
    with atomic_directory(place) as part:
        parts = [StorePart(part_folder(part, k), s, config) for k, s in enumerate(chosen) if s.previous]
        list(over(write_part, parts))


def write_part(part: StorePart) -> None:
    """Write one part; packs are made of the clips of one shard."""
    clips = read_selection(part.selection)
    write_store(
        part.folder, pack(clips, PackingOptions(), fitting(part.config)) if part.config.pack else clips
    )


def on_ray(function: Callable[[StorePart], None], parts: Iterable[StorePart]) -> Iterable[None]:
    """Apply `function` to `parts` in tasks on the cluster; `out` must be on storage that its nodes share."""
    import ray  # a second of imports

    task = ray.remote(num_cpus=CPUS_EACH)(function)
    done: list[None] = ray.get([task.remote(part) for part in parts])
    return done


def fitting(config: "DistilConfig") -> Callable[[str], bool]:
    """Return what says whether a text fits into the student's decoder."""
    tokens = Tokens.load(hf_folder(config.student or config.teacher))
    return lambda text: text_tokens(tokens, text) <= label_room(tokens)
