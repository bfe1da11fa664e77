"""Stores of synthetic clips: training shards, new sentences in known voices, and held-out voices.

    folder/shard-0000, shard-0001, ...  training, in `KNOWN` voices
    folder/dev-known                    300 sentences of no training shard
    folder/dev-rms, dev-andrea, ...     100 sentences per held-out voice

    python -m tests.small_model.synthesis.corpus FOLDER HOURS SHARDS

Texts, voices and manners follow from the seed alone. Samples do not to the last bit: espeak-ng carries
state from one utterance to the next.
"""

import argparse
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from random import Random

import numpy as np
from tests.small_model.synthesis.engines import Engines
from tests.small_model.synthesis.grammar import PLAIN_SHARES, SHARES, Kind, draw
from tests.small_model.synthesis.lexicon import PATTERNS
from tests.small_model.synthesis.speech import Manner, draw_manner
from tests.small_model.synthesis.trimming import trim
from tests.small_model.synthesis.voices import HELD_OUT, KNOWN, Voice, draw_voice

from voxray.audio import Pcm, to_float, to_pcm
from voxray.corpora.store import Clip, ClipStore, write_store

log = logging.getLogger(__name__)

TRAIN_SEED = 1
DEV_SEED = "dev-known"
DEV_CLIPS = 300
HELD_OUT_CLIPS = 100  # per voice
SCORE_SEED = "score"
SCORE_ORDERS = 200  # of which the 40 that are long enough are taken
_SHORTEST = 4  # words of a reserved text: shorter ones are so few that training needs them all
_LEVEL_DB = (-30.0, -17.0)  # RMS of a clip, relative to full scale
_PEAK = 0.98

Seed = int | str


@dataclass(frozen=True, slots=True)
class Order:
    """What to speak: everything about a clip but its samples."""

    id: str
    text: str
    voice: Voice
    manner: Manner
    level_db: float
    edge_seed: float


def orders(
    seed: Seed,
    voices: Sequence[Voice] = KNOWN,
    *,
    shares: Mapping[Kind, float] = SHARES,
    avoid: Collection[str] = (),
) -> Iterator[Order]:
    """Orders without end, none with a text of `avoid`; the same for the same arguments."""
    i = 0
    while True:
        rng = Random(f"{seed}/{i}")
        text = _sentence_beside(avoid, shares, rng)
        yield Order(
            id=f"synth-{seed}-{i:05d}",
            text=text,
            voice=draw_voice(rng, voices),
            manner=draw_manner(rng),
            level_db=rng.uniform(*_LEVEL_DB),
            edge_seed=rng.random(),
        )
        i += 1


def _sentence_beside(avoid: Collection[str], shares: Mapping[Kind, float], rng: Random) -> str:
    while (text := draw(rng, shares).text) in avoid:
        pass
    return text


def speak(order: Order, engines: Engines) -> Clip:
    """The clip that `order` asks for."""
    spoken = engines.speak(order.text, order.voice, order.manner)
    pcm, words = trim(spoken.pcm, spoken.words, Random(order.edge_seed))
    return Clip(
        id=order.id, pcm=levelled(pcm, order.level_db), text=order.text, speaker=order.voice.id, words=words
    )


def levelled(pcm: Pcm, level_db: float) -> Pcm:
    """`pcm` at an RMS of `level_db` relative to full scale, or lower where its peaks would clip."""
    samples = to_float(pcm)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0.0:
        return pcm
    rms = float(np.sqrt(np.square(samples).mean()))
    return to_pcm(samples * min(10 ** (level_db / 20) / rms, _PEAK / peak))


def synthesise(
    count: int, seed: Seed, voices: Sequence[Voice] = KNOWN, *, avoid: Collection[str] = ()
) -> Iterator[Clip]:
    """`count` clips in `voices`. Raises MissingDependency where an engine of theirs is not installed."""
    with Engines() as engines:
        for order in islice(orders(seed, voices, avoid=avoid), count):
            yield speak(order, engines)


def write_corpus(folder: Path, hours: float, seed: Seed, shards: int) -> ClipStore:
    """`hours` of training speech in `shards` stores of about equal length; those that exist are kept."""
    places = [folder / f"shard-{k:04d}" for k in range(shards)]
    with Engines() as engines:
        for k, place in enumerate(places):
            if not place.exists():
                clips = (speak(o, engines) for o in orders(f"{seed}-{k}", avoid=reserved_texts()))
                write_store(place, until(clips, hours / shards * 3600))
                log.info("wrote %s", place)
    return ClipStore(places)


def until(clips: Iterable[Clip], length_s: float) -> Iterator[Clip]:
    """The first of `clips` that together last `length_s` or just longer."""
    total_s = 0.0
    for clip in clips:
        yield clip
        total_s += clip.duration_s
        if total_s >= length_s:
            return


def known_dev(folder: Path) -> ClipStore:
    """Write 300 sentences that no training shard has, in voices that it has."""
    with Engines() as engines:
        clips = (speak(order, engines) for order in _reserved_orders(DEV_SEED, KNOWN, DEV_CLIPS))
        return write_store(folder, clips)


def held_out_corpus(folder: Path) -> dict[str, ClipStore]:
    """Write `folder/dev-<voice>` for each held-out voice, 100 clips each; the stores by voice."""
    with Engines() as engines:
        return {
            name: write_store(
                folder / f"dev-{name}",
                (speak(order, engines) for order in _reserved_orders(name, voices, HELD_OUT_CLIPS)),
            )
            for name, voices in held_out_voices().items()
        }


def held_out_voices() -> dict[str, tuple[Voice, ...]]:
    """The held-out voices by short name; a variant of espeak-ng counts once for all accents."""
    names = sorted({voice.speaker for voice in HELD_OUT})
    return {name: tuple(v for v in HELD_OUT if v.speaker == name) for name in names}


def score_orders() -> list[Order]:
    """Orders of which the scored clips are made, in any voice: no training shard has their texts."""
    return _reserved_orders(SCORE_SEED, KNOWN, SCORE_ORDERS, PLAIN_SHARES)


def _reserved_orders(
    seed: Seed, voices: Sequence[Voice], count: int, shares: Mapping[Kind, float] = SHARES
) -> list[Order]:
    chosen = (order for order in orders(seed, voices, shares=shares) if _reservable(order.text))
    return list(islice(chosen, count))


def _reservable(text: str) -> bool:
    return len(text.split()) >= _SHORTEST and text not in PATTERNS


@cache
def reserved_texts() -> frozenset[str]:
    """Every text of the dev sets and the scored clips: training must not have them."""
    sizes = {DEV_SEED: DEV_CLIPS, **dict.fromkeys(held_out_voices(), HELD_OUT_CLIPS)}
    dev = (order for seed, count in sizes.items() for order in _reserved_orders(seed, KNOWN, count))
    return frozenset(order.text for order in chain(dev, score_orders()))


def main() -> None:
    """Write the dev stores beside the training folder, then the training shards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("hours", type=float)
    parser.add_argument("shards", type=int)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if not (asked.folder / "dev-known").exists():
        known_dev(asked.folder / "dev-known")
        held_out_corpus(asked.folder)
    write_corpus(asked.folder / "train", asked.hours, TRAIN_SEED, asked.shards)


if __name__ == "__main__":
    main()
