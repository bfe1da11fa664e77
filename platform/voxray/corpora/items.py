"""What a corpus lists before any of its audio is read: items, and what was turned away with its reason."""

from dataclasses import dataclass

from voxray.transcript import Segment


@dataclass(frozen=True, slots=True)
class Item:
    """One clip or recording of a corpus.

    `source` is an absolute path or a URL; `start_s` and `end_s` (seconds) are the clip's place in it, None
    for the whole file. `text` is None where there is no reference. `sentences` are None where they are not
    given and empty where the clip is known to hold no speech; their times count from the clip's start.
    """

    id: str
    source: str
    split: str
    text: str | None = None
    language: str | None = None
    task: str | None = None
    speaker: str = ""
    recording: str = ""
    start_s: float | None = None
    end_s: float | None = None
    sentences: tuple[Segment, ...] | None = None

    @property
    def no_speech(self) -> bool:
        """Whether the corpus says that nobody speaks here."""
        return self.sentences == () and not (self.text or "").strip()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A clip that is left out, and why; `split` is None where it is not known."""

    id: str
    source: str
    reason: str
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The items of a corpus, in its order, and what was rejected while listing it."""

    items: tuple[Item, ...]
    rejected: tuple[Rejected, ...] = ()

    @classmethod
    def of(cls, entries: "list[Item | Rejected]") -> "Listing":
        """Items and rejected ones told apart, each in order."""
        return cls(
            tuple(e for e in entries if isinstance(e, Item)),
            tuple(e for e in entries if isinstance(e, Rejected)),
        )
