"""Recall of a corpus's rare words, and words of the list that nobody said: what hotwords change of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from voxray.scoring.metrics import ClipScore
from voxray.text import NormaliserName, normaliser
from voxray.word_segmentation import bare_words

MIN_LETTERS = 4  # shorter words are seldom names or terms


@dataclass(frozen=True, slots=True)
class RecallScore:
    """Occurrences of some words in references, how many a model found, and how many it invented."""

    occurrences: int
    found: int
    invented: int

    @property
    def recall(self) -> float:
        """The share of the occurrences that was found."""
        return self.found / self.occurrences if self.occurrences else 0.0


def rare_words(scores: Sequence[ClipScore], most: int, name: NormaliserName = "auto") -> list[str]:
    """Return at most `most` words of the references, the rarest and of these the longest first."""
    counts, surfaces = Counter[str](), dict[str, str]()
    for score in scores:
        normalise = normaliser(score.language, name)
        for surface in bare_words(score.reference):
            key = normalise(surface)
            if len(key) >= MIN_LETTERS and not any(c.isspace() or c.isdigit() for c in key):
                counts[key] += 1
                surfaces.setdefault(key, surface)
    return [surfaces[key] for key in sorted(counts, key=lambda k: (counts[k], -len(k), k))[:most]]


def recall_score(
    words: Sequence[str], scores: Sequence[ClipScore], name: NormaliserName = "auto"
) -> RecallScore:
    """Count `words` in references and hypotheses, after the normaliser `name` of each clip's language."""
    occurrences = found = invented = 0
    for score in scores:
        normalise = normaliser(score.language, name)
        listed = {normalise(word) for word in words}
        said = Counter(w for w in normalise(score.reference).split() if w in listed)
        written = Counter(w for w in normalise(score.hypothesis).split() if w in listed)
        occurrences += said.total()
        found += (said & written).total()
        invented += (written - said).total()
    return RecallScore(occurrences, found, invented)
