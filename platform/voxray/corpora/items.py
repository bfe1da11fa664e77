"""What a corpus lists before any of its audio is read: items, and what was rejected with its reason."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from voxray.transcript import Segment, Task

MAX_GAP_S = 3.0  # between neighbours in a recording: in a longer gap, words may have been left out
END_TOLERANCE_S = 0.5  # corpora round times; more than this is a truncated file
_SLACK_S = 0.02  # one step of the decoder's time tokens


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
    task: Task | None = None
    speaker: str = ""
    recording: str = ""
    start_s: float | None = None
    end_s: float | None = None
    sentences: tuple[Segment, ...] | None = None

    @property
    def no_speech(self) -> bool:
        """Whether the corpus marks the clip as without speech."""
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
        """Sort `entries` into items and rejected ones, each in order."""
        return cls(
            tuple(e for e in entries if isinstance(e, Item)),
            tuple(e for e in entries if isinstance(e, Rejected)),
        )


def with_own_ids(entries: Iterable[tuple[Item | Rejected, str | None]], *, always: bool) -> Listing:
    """Give each item the id beside it where all have one and no two the same, or, with `always`, wherever.

    They come with ids made of their place in the corpus, which no two share.
    """
    pairs = list(entries)
    own = [id for entry, id in pairs if isinstance(entry, Item)]
    if always or (None not in own and len(set(own)) == len(own)):
        return Listing.of([replace(e, id=id) if isinstance(e, Item) and id else e for e, id in pairs])
    return Listing.of([entry for entry, _ in pairs])


def previous_texts(items: Iterable[Item]) -> dict[str, str]:
    """Map the ids of clips that continue another one to the text of that one.

    It is of the same recording, speaker, language and split, ends at most `MAX_GAP_S` before the clip starts,
    and no other clip lies between them.
    """
    placed = [i for i in items if i.recording and i.start_s is not None]
    placed.sort(key=lambda i: (i.recording, i.start_s or 0.0))
    return {
        item.id: before.text
        for _, group in groupby(placed, key=lambda i: i.recording)
        for before, item in pairwise(group)
        if before.text and _continues(item, before)
    }


def _continues(item: Item, before: Item) -> bool:
    same = (item.speaker, item.language, item.split) == (before.speaker, before.language, before.split)
    if not same or item.start_s is None or before.end_s is None:
        return False
    return -_SLACK_S <= item.start_s - before.end_s <= MAX_GAP_S


def timed_segments(segments: Sequence[Segment], duration_s: float) -> tuple[Segment, ...]:
    """Return `segments` clamped to a clip of `duration_s`, or none where their times are of no use.

    They are of none where they overlap, lie beyond the clip, or are one over all of it, which is what an
    engine returns without timestamps.
    """
    clamped = tuple(replace(s, end_s=min(s.end_s, duration_s)) for s in segments)
    whole = len(clamped) == 1 and clamped[0].start_s <= 0 and clamped[0].end_s >= duration_s - _SLACK_S
    beyond = any(s.end_s > duration_s + END_TOLERANCE_S for s in segments)
    backwards = any(s.end_s < s.start_s for s in clamped)
    overlapping = any(b.start_s < a.end_s - _SLACK_S for a, b in pairwise(segments))
    return () if whole or beyond or backwards or overlapping else clamped
