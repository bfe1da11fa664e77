"""Recorded telephone prompts in French, Spanish, Italian or Russian, as an audio folder.

    apt-get download asterisk-core-sounds-fr asterisk-core-sounds-fr-g722
    for file in asterisk-core-sounds-fr*.deb; do dpkg -x $file PACKAGES; done
    python -m tests.benchmarks.asterisk_prompts PACKAGES fr FOLDER

FOLDER then has about 500 clips of one voice (20 min), 16 kHz FLAC and texts; CC BY-SA 3.0.
"""

import argparse
import gzip
import re
from pathlib import Path

import av
import numpy as np

from voxray.audio import Pcm, encode

TEXT = re.compile(r"([\w/-]+): (.*\w.*)")


def main() -> None:
    """Convert and count."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("packages", type=Path)
    arguments.add_argument("language", choices=["es", "fr", "it", "ru"])
    arguments.add_argument("folder", type=Path)
    given = arguments.parse_args()
    texts = read_texts(given.packages, given.language)
    (recordings,) = (given.packages / "usr/share/asterisk/sounds").glob(f"{given.language}_*")
    given.folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for file in sorted(recordings.rglob("*.g722")):
        name = str(file.relative_to(recordings).with_suffix(""))
        if name not in texts:
            continue
        target = given.folder / f"{name.replace('/', '__')}.flac"
        target.write_bytes(encode(read_g722(file)))
        target.with_suffix(".txt").write_text(texts[name] + "\n")
        written += 1
    print(f"{written} clips in {given.folder}")


def read_texts(packages: Path, language: str) -> dict[str, str]:
    """Map the names of prompts to what they say; stage directions and single letters are left out."""
    package = f"asterisk-core-sounds-{language}"
    listed = packages / "usr/share/doc" / package / f"core-sounds-{language}.txt.gz"
    lines = gzip.decompress(listed.read_bytes()).decode().splitlines()
    found = (TEXT.fullmatch(line.strip()) for line in lines if not line.startswith(";"))
    return {m[1]: m[2].replace("...", " ").strip() for m in found if m and not re.search(r"[\[(<]", m[2])}


def read_g722(file: Path) -> Pcm:
    """Decode a raw G.722 file: 16 kHz, one channel."""
    with av.open(str(file), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.int16)


if __name__ == "__main__":
    main()
