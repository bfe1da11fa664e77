"""Kept finals on disk, those of each key in a folder of its own.

    DIR/OWNER/enabled        is there while the key wants its finals kept
    DIR/OWNER/pending/       ID.flac and ID.json: what was said, and what was recognised
    DIR/OWNER/corpus/        ID.flac and ID.txt: what was accepted, an audio folder that the jobs read

An id begins with the certainty in thousandths, so that the names sort the least certain first.
"""

import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from voxray.audio import SAMPLE_RATE, Pcm, encode
from voxray.files import atomic_file
from voxray.serving.corrections.bodies import KeptFinal
from voxray.serving.settings import CorrectionSettings
from voxray.streaming.events import Final

ANONYMOUS = "anonymous"  # whose key nobody asks for
DAY_S = 24 * 3600.0
_ID = re.compile(r"[0-9]{3}-[0-9a-f]{32}")
_OWNER = re.compile(r"[0-9a-f]*")


def certainty_of(final: Final) -> float | None:
    """Return the probability of the least probable word; None where no word has one."""
    known = [word.probability for word in final.words or () if word.probability is not None]
    return round(min(known), 3) if known else None


class CorrectionStore:
    """The kept finals of all keys. `settings.dir` must be there, on storage that all nodes see."""

    def __init__(self, settings: CorrectionSettings) -> None:
        assert settings.dir
        self.settings, self._directory = settings, settings.dir.resolve()

    def is_enabled(self, owner: str) -> bool:
        """Whether the finals of `owner` are kept."""
        return (self._folder(owner) / "enabled").exists()

    def enable(self, owner: str, *, enabled: bool) -> None:
        """Keep the finals of `owner` from now on, or no more; what was kept stays."""
        folder = self._folder(owner)
        if enabled:
            for name in ("pending", "corpus"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / "enabled").touch()
        else:
            (folder / "enabled").unlink(missing_ok=True)

    def add(self, owner: str, final: Final, pcm: Pcm, now: float) -> None:
        """Keep a final with its audio, unless `owner` has changed their mind."""
        if not self.is_enabled(owner):
            return
        certainty = certainty_of(final)
        rank = min(999, round(1000 * (certainty or 0.0)))
        kept = KeptFinal(
            id=f"{rank:03}-{secrets.token_hex(16)}",
            text=final.text,
            language=final.language,
            certainty=certainty,
            duration_s=round(len(pcm) / SAMPLE_RATE, 3),
            created_at=now,
        )
        pending = self._folder(owner) / "pending"
        (pending / f"{kept.id}.flac").write_bytes(encode(pcm))
        with atomic_file(pending / f"{kept.id}.json") as part:
            part.write_text(kept.model_dump_json())

    def pending(self, owner: str, most: int) -> list[KeptFinal]:
        """Return what waits for a correction, the least certain first."""
        found = list[KeptFinal]()
        for file in sorted((self._folder(owner) / "pending").glob("*.json"))[:most]:
            with suppress(FileNotFoundError):  # it was accepted or deleted meanwhile
                found.append(KeptFinal.model_validate_json(file.read_text()))
        return found

    def counts(self, owner: str) -> tuple[int, int]:
        """Return how many finals wait, and how many were accepted."""
        folder = self._folder(owner)
        return len(list(folder.glob("pending/*.json"))), len(list(folder.glob("corpus/*.txt")))

    def corpus(self, owner: str) -> Path:
        """Return the audio folder of what was accepted."""
        return self._folder(owner) / "corpus"

    def audio(self, owner: str, id: str) -> Path | None:
        """Return the file of what was said, or None where nothing waits under this id."""
        if not _ID.fullmatch(id):
            return None
        file = self._folder(owner) / "pending" / f"{id}.flac"
        return file if file.exists() and file.with_suffix(".json").exists() else None

    def accept(self, owner: str, id: str, text: str) -> bool:
        """Move a final to the corpus with what was said in it; return whether it was there."""
        audio = self.audio(owner, id)
        if not audio:
            return False
        corpus = self.corpus(owner)
        with atomic_file(corpus / f"{id}.txt") as part:
            part.write_text(f"{text}\n", encoding="utf-8")
        audio.rename(corpus / audio.name)  # and so it keeps the time at which it was said
        audio.with_suffix(".json").unlink(missing_ok=True)
        return True

    def remove(self, owner: str, id: str) -> bool:
        """Delete what waits under this id; return whether it was there."""
        audio = self.audio(owner, id)
        if audio:
            _remove(audio)
        return audio is not None

    def clear(self, owner: str) -> None:
        """Delete all that was kept of `owner`, and keep nothing more."""
        shutil.rmtree(self._folder(owner), ignore_errors=True)

    def sweep(self, now: float | None = None) -> None:
        """Delete what is older than `days`, accepted or not, and of what waits all but the least certain."""
        before = (now or time.time()) - self.settings.days * DAY_S
        for audio in self._directory.glob("*/*/*.flac"):
            with suppress(FileNotFoundError):
                if audio.stat().st_mtime < before:
                    _remove(audio)
        for folder in self._directory.glob("*/pending"):
            for file in sorted(folder.glob("*.json"))[self.settings.clips :]:
                _remove(file.with_suffix(".flac"))

    def _folder(self, owner: str) -> Path:
        assert _OWNER.fullmatch(owner)  # a digest in hexadecimal digits
        return self._directory / (owner or ANONYMOUS)


def _remove(audio: Path) -> None:
    for suffix in (".json", ".txt", ".flac"):
        audio.with_suffix(suffix).unlink(missing_ok=True)
