"""Recorded finals on disk, those of each key in a folder of its own.

    DIR/OWNER/enabled        is there while the key's finals are to be recorded
    DIR/OWNER/pending/       ID.flac and ID.json: a clip, and what was recognised in it
    DIR/OWNER/corpus/        ID.flac and ID.txt: a corrected clip; an audio folder that the jobs read

Each file appears whole, and a clip counts once it has both of its files. An id begins with the confidence in
thousandths: names sort the least confident first. Gateways and buffer actors on all nodes work side by side.
"""

import re
import secrets
import shutil
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from voxray.audio import SAMPLE_RATE, Pcm, encode
from voxray.files import atomic_file
from voxray.serving.corrections.bodies import PendingClip
from voxray.serving.settings import CorrectionSettings
from voxray.streaming.events import Final

ANONYMOUS = "anonymous"  # the folder where nobody needs a key
DAY_S = 24 * 3600.0
STALE_S = 60.0  # a clip that has not both of its files after this never will
_SUFFIXES = (".json", ".txt", ".flac")
_WHOLE = ({".flac", ".json"}, {".flac", ".txt"})
_DELETED = ".deleted-"
_ID = re.compile(r"[0-9]{3}-[0-9a-f]{32}")
_OWNER = re.compile(r"[0-9a-f]*")


def confidence_of(final: Final) -> float | None:
    """Return the probability of the least probable word; None where no word has one."""
    known = [word.probability for word in final.words or () if word.probability is not None]
    return round(min(known), 3) if known else None


class CorrectionStore:
    """The recorded finals of all keys. `owner` is that of a key (`AccessPolicy.owner`).

    Methods wait for the disk, and raise OSError where it fails.
    """

    def __init__(self, settings: CorrectionSettings) -> None:
        assert settings.dir
        self.settings, self._directory = settings, settings.dir.resolve()

    # Who has opted in.

    def is_enabled(self, owner: str) -> bool:
        """Return whether finals of `owner` are recorded."""
        return (self._folder(owner) / "enabled").exists()

    def enabled_owners(self) -> frozenset[str]:
        """Return all whose finals are recorded."""
        names = {file.parent.name for file in self._directory.glob("[!.]*/enabled")}
        return frozenset("" if name == ANONYMOUS else name for name in names)

    def enable(self, owner: str, *, enabled: bool) -> None:
        """Record the finals of `owner` from now on, or no more; what was recorded stays."""
        folder = self._folder(owner)
        if not enabled:
            return (folder / "enabled").unlink(missing_ok=True)
        self._directory.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in ("pending", "corpus"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "enabled").touch()

    # Clips.

    def add(self, owner: str, final: Final, pcm: Pcm, now: float) -> bool:
        """Store a final with its audio; return False if `owner` has opted out meanwhile."""
        if not self.is_enabled(owner):
            return False
        confidence = confidence_of(final)
        clip = PendingClip(
            id=f"{min(999, round(1000 * (confidence or 0.0))):03}-{secrets.token_hex(16)}",
            text=final.text,
            language=final.language,
            confidence=confidence,
            duration_s=round(len(pcm) / SAMPLE_RATE, 3),
            created_at=now,
        )
        audio = self._folder(owner) / "pending" / f"{clip.id}.flac"
        try:
            with atomic_file(audio) as part:
                part.write_bytes(encode(pcm))
            with atomic_file(audio.with_suffix(".json")) as part:
                part.write_text(clip.model_dump_json())
        except OSError:
            _delete(audio)
            raise
        return True

    def pending(self, owner: str, most: int) -> list[PendingClip]:
        """Return the clips to correct, the least confident first."""
        found = list[PendingClip]()
        for file in sorted((self._folder(owner) / "pending").glob("*.json"))[:most]:
            with suppress(FileNotFoundError):  # it was corrected or deleted meanwhile
                found.append(PendingClip.model_validate_json(file.read_text()))
        return found

    def counts(self, owner: str) -> tuple[int, int]:
        """Return the number of clips to correct, and of corrected ones."""
        folder = self._folder(owner)
        return len(list(folder.glob("pending/*.json"))), len(list(folder.glob("corpus/*.txt")))

    def corpus(self, owner: str) -> Path:
        """Return the audio folder of the corrected clips."""
        return self._folder(owner) / "corpus"

    def audio(self, owner: str, id: str) -> bytes | None:
        """Return the FLAC file of a clip to correct; None if there is none with this id."""
        file = self._pending_audio(owner, id)
        with suppress(FileNotFoundError):
            return file.read_bytes() if file else None
        return None

    def correct(self, owner: str, id: str, text: str) -> bool:
        """Move a clip to the corpus with the text that was spoken; return whether it was there."""
        audio = self._pending_audio(owner, id)
        corpus = self.corpus(owner)
        with suppress(FileNotFoundError):  # it was corrected or deleted meanwhile
            if audio:
                with atomic_file(corpus / f"{id}.txt") as part:
                    part.write_text(f"{text}\n", encoding="utf-8")
                audio.rename(corpus / audio.name)  # which keeps the time at which it was recorded
                audio.with_suffix(".json").unlink(missing_ok=True)
                return True
        return False

    def delete(self, owner: str, id: str) -> bool:
        """Delete a clip, corrected or not; return whether it was there."""
        if not _ID.fullmatch(id):
            return False
        places = [self._folder(owner) / name / f"{id}.flac" for name in ("pending", "corpus")]
        found = any(audio.exists() for audio in places)
        for audio in places:
            _delete(audio)
        return found

    def clear(self, owner: str) -> None:
        """Delete all that was recorded of `owner`, and record nothing more."""
        gone = self._directory / f"{_DELETED}{secrets.token_hex(8)}"
        with suppress(FileNotFoundError):
            self._folder(owner).rename(gone)  # from here on no process can add to it
            shutil.rmtree(gone)

    # Retention.

    def sweep(self, now: float | None = None) -> None:
        """Delete the clips of all keys that are too old or too many, and what killed processes left."""
        now = time.time() if now is None else now
        for folder in self._directory.glob("*"):
            if folder.name.startswith(_DELETED):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for name in ("pending", "corpus"):
                self._delete_old(folder / name, now)
            self._make_room(folder)

    def stored_bytes(self, owner: str) -> int:
        """Return the bytes of all files of `owner`."""
        return sum(size for sizes in _sizes(self._folder(owner)).values() for size in sizes)

    def _delete_old(self, folder: Path, now: float) -> None:
        clips = defaultdict[str, list[Path]](list)
        for file in folder.glob("*"):
            clips[file.stem if file.suffix in _SUFFIXES else file.name].append(file)
        for files in clips.values():
            with suppress(FileNotFoundError):  # it was corrected or deleted meanwhile
                age_s = now - min(file.stat().st_mtime for file in files)
                whole = {file.suffix for file in files} in _WHOLE
                if age_s > (self.settings.days * DAY_S if whole else STALE_S):
                    for file in files:
                        file.unlink(missing_ok=True)

    def _make_room(self, folder: Path) -> None:
        """Delete the most confident clips to correct until the key's bytes are within the limit."""
        sizes = _sizes(folder)
        excess = sum(map(sum, sizes.values())) - self.settings.stored_bytes
        for file in sorted((folder / "pending").glob("*.json"), reverse=True):
            if excess <= 0:
                break
            _delete(file)
            excess -= sum(sizes.get(file.stem, ()))

    def _pending_audio(self, owner: str, id: str) -> Path | None:
        if not _ID.fullmatch(id):
            return None
        file = self._folder(owner) / "pending" / f"{id}.flac"
        return file if file.exists() and file.with_suffix(".json").exists() else None

    def _folder(self, owner: str) -> Path:
        assert _OWNER.fullmatch(owner)  # a digest in hexadecimal digits
        return self._directory / (owner or ANONYMOUS)


def _sizes(folder: Path) -> dict[str, list[int]]:
    """Return the sizes of the files of each clip, by id."""
    sizes = defaultdict[str, list[int]](list)
    for file in folder.glob("*/*"):
        with suppress(FileNotFoundError):
            sizes[file.name.partition(".")[0]].append(file.stat().st_size)
    return sizes


def _delete(clip: Path) -> None:
    """Delete the files of a clip; the one that makes it visible first."""
    for suffix in _SUFFIXES:
        clip.with_suffix(suffix).unlink(missing_ok=True)
