"""The clips that the small model knows: an audio folder of 320 clips to train on and 40 to score.

    <uid>.ogg, <uid>.txt               Opus at 16 kbit/s, and what it says
    train_files.csv, test_files.csv    uid, file_name, text

    python -m tests.small_model.synthesis.clips FOLDER

A uid is the speaker and a number. No sentence stands on both sides. Two speakers are only scored; the
others of the scored also train.
"""

import argparse
import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from tests.small_model.synthesis.corpus import Order, orders, reserved_texts, score_orders, speak
from tests.small_model.synthesis.engines import Engines
from tests.small_model.synthesis.grammar import PLAIN_SHARES
from tests.small_model.synthesis.voices import Voice

from voxray.audio import encode
from voxray.corpora.store import Clip
from voxray.errors import CorpusError

TRAIN_CLIPS = 320
KNOWN_SCORE_CLIPS = 24
HELD_OUT_SCORE_CLIPS = 8  # per held-out speaker
LENGTH_S = (1.5, 5.0)
BIT_RATE = 16_000  # bits per second
TRAIN_SEED = "built-in"

_ESPEAK = (
    "en-us+m3 en-us+f2 en-us+Annie en+m1 en+f4 en+belinda en-gb-scotland+m2 en-gb-x-rp+f5 en-us-nyc+m6"
    " en-029+f1"
).split()
SPEAKERS: tuple[Voice, ...] = (
    *(Voice("espeak-ng", name) for name in _ESPEAK),
    *(Voice("flite", name) for name in ("slt", "awb", "kal16")),
    *(Voice("festival", name) for name in ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts")),
)
"""Those who train, 20 clips each; they speak `KNOWN_SCORE_CLIPS` of the scored as well."""
STRANGERS: tuple[Voice, ...] = (Voice("flite", "rms"), Voice("espeak-ng", "en-us+Andrea"))
"""Those who are scored and never train."""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """The clips on both sides, their ids being speaker and number."""

    train: tuple[Clip, ...]
    score: tuple[Clip, ...]


def built_in_clips() -> BuiltIn:
    """All clips. Raises MissingDependency where one of the engines is not installed."""
    scored = [*islice(cycle(SPEAKERS), KNOWN_SCORE_CLIPS)]
    scored += [voice for voice in STRANGERS for _ in range(HELD_OUT_SCORE_CLIPS)]
    train_orders = orders(TRAIN_SEED, shares=PLAIN_SHARES, avoid=reserved_texts())
    with Engines() as engines:
        train = spoken_by(islice(cycle(SPEAKERS), TRAIN_CLIPS), train_orders, engines)
        score = spoken_by(scored, score_orders(), engines)
        numbered = list(numbered_by_speaker([*train, *score]))
    return BuiltIn(train=tuple(numbered[:TRAIN_CLIPS]), score=tuple(numbered[TRAIN_CLIPS:]))


def spoken_by(voices: Iterable[Voice], texts: Iterable[Order], engines: Engines) -> Iterator[Clip]:
    """A clip per voice, of the next of `texts` that is new and of fitting length in that voice."""
    waiting, seen = iter(texts), set[str]()
    for voice in voices:
        for order in waiting:
            clip = speak(replace(order, voice=voice), engines)
            if order.text not in seen and LENGTH_S[0] <= clip.duration_s <= LENGTH_S[1]:
                seen.add(order.text)
                yield clip
                break
        else:
            raise CorpusError(f"expected a text that {voice.id} speaks in {LENGTH_S} s, and none is left.")


def numbered_by_speaker(clips: Sequence[Clip]) -> Iterator[Clip]:
    """`clips` with ids that count each speaker's clips: "flite-slt-0000"."""
    counts: dict[str, int] = {}
    for clip in clips:
        number = counts.get(clip.speaker, 0)
        counts[clip.speaker] = number + 1
        yield replace(clip, id=f"{clip.speaker}-{number:04d}")


def write_audio_folder(folder: Path, clips: BuiltIn) -> None:
    """Write `clips` as an audio folder: a sound and a text file per clip, and a table per side."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip in (*clips.train, *clips.score):
        sound = encode(clip.pcm, "libopus", "ogg", bit_rate=BIT_RATE)
        (folder / f"{clip.id}.ogg").write_bytes(sound)
        (folder / f"{clip.id}.txt").write_text(clip.text + "\n", encoding="utf-8")
    _write_table(folder / "train_files.csv", clips.train)
    _write_table(folder / "test_files.csv", clips.score)


def _write_table(path: Path, clips: Sequence[Clip]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("uid", "file_name", "text"))
        table.writerows((clip.id, f"{clip.id}.ogg", clip.text) for clip in clips)


def main() -> None:
    """Write the clips to the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    write_audio_folder(parser.parse_args().folder, built_in_clips())


if __name__ == "__main__":
    main()
