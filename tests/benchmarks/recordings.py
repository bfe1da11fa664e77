"""What the clients of the benchmark play: recordings, with the bounds and the texts of their utterances.

digits           people who say digits, from a folder of <speaker>-long.flac and .tsv
prompts          real prompts with pauses of 0.9 to 2 s, from ../shared/data/live
prompts-nonstop  the same with 0.15 s
clips            the sample clips that are for scoring, joined with pauses
nonstop          the same with 0.05 s
files            any audio with a tsv: start_s, end_s and text of an utterance per line
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from tests.small_model.synthesis.trimming import audible

from voxray.audio import HOP_LENGTH, SAMPLE_RATE, Pcm, decode
from voxray.corpora.sources import load_clips
from voxray.errors import CorpusError

Kind = Literal["digits", "prompts", "prompts-nonstop", "clips", "nonstop"]

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DIGITS, LIVE = SHARED / "digits", SHARED / "live"
PROMPTS = {"prompts": LIVE / "prompts.flac", "prompts-nonstop": LIVE / "nonstop.flac"}
SPEAKERS = ("george", "jackson", "lucas")
PAUSES_S = (0.8, 2.0)
NO_PAUSES_S = (0.05, 0.05)
SEED = 4  # of the pauses and of the clips' order


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is said between two times, its acoustic bounds in seconds from the start of the audio."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Recording:
    """16 kHz mono audio that may be played round and round; its utterances, in order, do not overlap."""

    name: str
    pcm: Pcm = field(repr=False)
    utterances: tuple[Utterance, ...]

    @property
    def length_s(self) -> float:
        """Seconds of one round."""
        return len(self.pcm) / SAMPLE_RATE


def of_kind(kind: Kind, digits: Path = DIGITS) -> tuple[Recording, ...]:
    """Return the recordings of `kind`; none where their files are not there."""
    if kind == "digits":
        return tuple(read(f, f.with_suffix(".tsv")) for f in _long_files(digits))
    if kind in PROMPTS:
        file = PROMPTS[kind]
        return (read(file, file.with_suffix(".tsv")),) if file.is_file() else ()
    return (
        sample_recording("clips", PAUSES_S) if kind == "clips" else sample_recording("nonstop", NO_PAUSES_S),
    )


def _long_files(folder: Path) -> list[Path]:
    return [f for speaker in SPEAKERS if (f := folder / f"{speaker}-long.flac").is_file()]


def read(audio: Path, tsv: Path) -> Recording:
    """Any audio file with its tsv; CorpusError where the tsv does not fit, AudioError for the audio."""
    pcm = decode(audio)
    utterances = tuple(_utterances(tsv))
    bounds = [0.0, *(t for u in utterances for t in (u.start_s, u.end_s)), len(pcm) / SAMPLE_RATE]
    if not utterances or any(a > b for a, b in pairwise(bounds)):
        raise CorpusError(f"{tsv}: expected utterances in order within {bounds[-1]:.2f} s of {audio.name}.")
    return Recording(audio.stem, pcm, utterances)


def _utterances(tsv: Path) -> Iterator[Utterance]:
    try:
        lines = tsv.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as e:
        raise CorpusError(f"{tsv}: expected a tsv file in UTF-8, got one that cannot be read ({e}).") from e
    for number, line in enumerate(lines, start=1):
        try:
            start_s, end_s, text = line.split("\t")
            yield Utterance(float(start_s), float(end_s), text)
        except ValueError as e:
            raise CorpusError(f"{tsv}:{number}: expected start_s, end_s and text between tabs.") from e


def sample_recording(
    name: str, pauses_s: tuple[float, float], seed: int = SEED, corpus: str = "builtin"
) -> Recording:
    """The test clips of `corpus`, in random order, with a random pause in `pauses_s` after each."""
    clips, _ = load_clips(corpus, "test")
    rng = np.random.default_rng(seed)
    spoken = [(trimmed(clips[i].pcm), clips[i].text) for i in rng.permutation(len(clips))]
    return joined(name, spoken, [float(rng.uniform(*pauses_s)) for _ in spoken])


def trimmed(pcm: Pcm) -> Pcm:
    """`pcm` from its first to its last sound, by energy."""
    loud = np.flatnonzero(audible(pcm))
    return pcm[loud[0] * HOP_LENGTH : (loud[-1] + 1) * HOP_LENGTH] if len(loud) else pcm[:0]


def joined(name: str, spoken: Sequence[tuple[Pcm, str]], pauses_s: Sequence[float]) -> Recording:
    """`spoken` as one recording, each followed by its pause."""
    parts: list[Pcm] = []
    utterances: list[Utterance] = []
    samples = 0
    for (pcm, text), pause_s in zip(spoken, pauses_s, strict=True):
        pause = np.zeros(round(pause_s * SAMPLE_RATE), np.int16)
        utterances.append(Utterance(samples / SAMPLE_RATE, (samples + len(pcm)) / SAMPLE_RATE, text))
        parts += [pcm, pause]
        samples += len(pcm) + len(pause)
    return Recording(name, np.concatenate(parts), tuple(utterances))
