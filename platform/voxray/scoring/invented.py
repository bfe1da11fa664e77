"""Words that a model finds where nobody speaks, per minute of silence and of noise."""

from collections.abc import Sequence
from dataclasses import dataclass

from voxray.corpora.store import Clip
from voxray.guards import GuardResult, Guards
from voxray.text import units
from voxray.whisper.engines import DecodingResult


@dataclass(frozen=True, slots=True)
class InventedWords:
    """Words found in audio without any: as decoded, and those left after the guards of `transcribe`."""

    audio_s: float = 0.0
    words: int = 0
    guarded: int = 0

    def __add__(self, other: "InventedWords") -> "InventedWords":
        return InventedWords(
            self.audio_s + other.audio_s, self.words + other.words, self.guarded + other.guarded
        )

    @property
    def per_minute(self) -> float:
        """Words per minute of audio."""
        return self.per_hour / 60

    @property
    def per_hour(self) -> float:
        """Words per hour of audio."""
        return 3600 * self.words / self.audio_s if self.audio_s else 0.0

    @property
    def guarded_per_hour(self) -> float:
        """Words per hour of audio that are left after the guards."""
        return 3600 * self.guarded / self.audio_s if self.audio_s else 0.0


def invented_in(
    clips: Sequence[Clip], results: Sequence[DecodingResult], guards: Guards | None = None
) -> InventedWords:
    """Count the words of `results`, one for each of `clips`, which have none."""
    guards = guards or Guards()
    counts = [len(units(r.text, r.language)) for r in results]
    silenced = [guards.check(r) is GuardResult.SILENCE for r in results]
    return InventedWords(
        audio_s=sum(clip.duration_s for clip in clips),
        words=sum(counts),
        guarded=sum(count for count, silent in zip(counts, silenced, strict=True) if not silent),
    )
