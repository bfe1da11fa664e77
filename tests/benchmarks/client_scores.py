"""What the clients received against the reference: latencies, first partials, word errors. Pure.

Times of arrival are seconds after the client's stream began, as the utterances' are: a client that sends in
real time sends the sample of second s at second s.

Reference and hypothesis words are aligned as jiwer does it, after the English normaliser (a word per digit),
stretch by stretch: digits repeat, and one that is lost would else be aligned with an equal one further on. A
word counts as committed when it first stood, with all before it in its segment, in `stable` or in the final.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

import jiwer
from tests.benchmarks.recordings import Utterance

from voxray.text import ErrorCounts, english, word_errors
from voxray.wire import Ack, Final, Partial, ServerMessage

ONSET_S = 0.5  # a segment that starts so near to an utterance is this utterance's; pre-roll lies within
SLACK_S = 0.1  # by which an utterance and the segment it is transcribed in may miss one another


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message, and when it came."""

    at_s: float
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class ClientScore:
    """One client, or several added up. Latencies, in seconds, are those of the last words that arrived.

    `missing_last_words` are utterances whose last word is in no final: their latency is not known.
    `without_final` are those of which not one word is. `lag_s` is the worst that the server told.
    """

    utterances: int = 0
    committed_s: tuple[float, ...] = ()
    final_s: tuple[float, ...] = ()
    first_partial_s: tuple[float, ...] = ()
    missing_last_words: int = 0
    without_final: int = 0
    words: ErrorCounts = field(default_factory=ErrorCounts)
    lag_s: float = 0.0

    def __add__(self, other: "ClientScore") -> "ClientScore":
        return ClientScore(
            self.utterances + other.utterances,
            self.committed_s + other.committed_s,
            self.final_s + other.final_s,
            self.first_partial_s + other.first_partial_s,
            self.missing_last_words + other.missing_last_words,
            self.without_final + other.without_final,
            self.words + other.words,
            max(self.lag_s, other.lag_s),
        )


@dataclass(frozen=True, slots=True)
class FinalWord:
    """A normalised word of a final, when it came, and when it was committed."""

    text: str
    segment: Final
    committed_s: float
    final_s: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How times lie; None where there are none."""

    count: int
    p50: float | None
    p95: float | None
    max: float | None

    @classmethod
    def of(cls, times: Sequence[float]) -> "Spread":
        """Of `times`, in any order."""
        return cls(len(times), quantile(times, 0.5), quantile(times, 0.95), quantile(times, 1.0))


def quantile(times: Sequence[float], share: float) -> float | None:
    """The smallest of `times` that at least `share` of them do not exceed; None where there are none."""
    return sorted(times)[max(0, math.ceil(share * len(times)) - 1)] if times else None


def score_client(reference: Sequence[Utterance], arrivals: Sequence[Arrival]) -> ClientScore:
    """Return the score of what one client received of the utterances that it played."""
    spoken = [u for u in reference if normalised(u.text)]
    hypothesis = list(hypothesis_words(arrivals))
    pairs = [pair for stretch in stretches(spoken, hypothesis) for pair in _counterparts(*stretch)]
    ends = [(u, words[-1]) for u, words in pairs if words[-1]]
    finals = [a.message for a in arrivals if isinstance(a.message, Final)]
    return ClientScore(
        utterances=len(spoken),
        committed_s=tuple(word.committed_s - u.end_s for u, word in ends),
        final_s=tuple(word.final_s - u.end_s for u, word in ends),
        first_partial_s=tuple(_first_partials(spoken, arrivals)),
        missing_last_words=len(spoken) - len(ends),
        without_final=sum(not any(words) for _, words in pairs),
        words=errors(" ".join(u.text for u in spoken), " ".join(f.text for f in finals)),
        lag_s=max((a.message.lag_s for a in arrivals if isinstance(a.message, Ack)), default=0.0),
    )


@lru_cache(maxsize=100_000)
def normalised(text: str) -> tuple[str, ...]:
    """The words of `text` as they are compared; kept, since one `stable` is sent many times."""
    return tuple(english(text).split())


def errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count the word errors, here as in the comparison offline."""
    return word_errors(reference, hypothesis)


def hypothesis_words(arrivals: Sequence[Arrival]) -> Iterator[FinalWord]:
    """The words of all finals, in the order in which these came."""
    stables: dict[int, list[tuple[float, tuple[str, ...]]]] = defaultdict(list)
    for arrival in arrivals:
        match arrival.message:
            case Partial() as partial:
                stables[partial.segment].append((arrival.at_s, normalised(partial.stable)))
            case Final() as final:
                words = normalised(final.text)
                stood = [(at_s, _agreeing(words, stable)) for at_s, stable in stables[final.segment]]
                for i, word in enumerate(words):
                    committed_s = next((at_s for at_s, agreed in stood if agreed > i), arrival.at_s)
                    yield FinalWord(word, final, committed_s, arrival.at_s)


def _agreeing(final: Sequence[str], stable: Sequence[str]) -> int:
    """How many words from the start are the same: "twenty" normalises to 2 0, and "twenty-one" to 2 1."""
    agreed = 0
    for a, b in zip(final, stable, strict=False):
        if a != b:
            break
        agreed += 1
    return agreed


def stretches(
    reference: Sequence[Utterance], hypothesis: Sequence[FinalWord]
) -> Iterator[tuple[list[Utterance], list[FinalWord]]]:
    """Yield all utterances and words, in order, grouped by what overlaps in time, by the segments' times."""
    parts: list[tuple[float, float, Utterance | FinalWord]] = [(u.start_s, u.end_s, u) for u in reference]
    parts += [(w.segment.start_s - SLACK_S, w.segment.end_s + SLACK_S, w) for w in hypothesis]
    stretch: list[Utterance | FinalWord] = []
    until_s = -math.inf
    for start_s, end_s, part in sorted(parts, key=lambda p: p[0]):
        if start_s > until_s and stretch:
            yield _told_apart(stretch)
            stretch = []
        stretch.append(part)
        until_s = max(until_s, end_s)
    if stretch:
        yield _told_apart(stretch)


def _told_apart(parts: Sequence[Utterance | FinalWord]) -> tuple[list[Utterance], list[FinalWord]]:
    return [p for p in parts if isinstance(p, Utterance)], [p for p in parts if isinstance(p, FinalWord)]


def _counterparts(
    reference: Sequence[Utterance], hypothesis: Sequence[FinalWord]
) -> Iterator[tuple[Utterance, list[FinalWord | None]]]:
    """Yield each utterance with the hypothesis word of each of its words, None where that is lost."""
    places = iter(aligned([w for u in reference for w in normalised(u.text)], [w.text for w in hypothesis]))
    for utterance in reference:
        own = islice(places, len(normalised(utterance.text)))
        yield utterance, [None if place is None else hypothesis[place] for place in own]


def aligned(reference: Sequence[str], hypothesis: Sequence[str]) -> list[int | None]:
    """Return for each reference word the index of its counterpart, equal or not; None where it is lost."""
    places: list[int | None] = [None] * len(reference)
    if not reference or not hypothesis:  # jiwer takes no empty reference
        return places
    for chunk in jiwer.process_words(" ".join(reference), " ".join(hypothesis)).alignments[0]:
        if chunk.type in ("equal", "substitute"):
            for k in range(chunk.ref_end_idx - chunk.ref_start_idx):
                places[chunk.ref_start_idx + k] = chunk.hyp_start_idx + k
    return places


def _first_partials(reference: Sequence[Utterance], arrivals: Sequence[Arrival]) -> Iterator[float]:
    """For each utterance that begins a segment: when the first words of it came, after its start."""
    first: dict[int, tuple[float, float]] = {}  # segment: when its first words came, and its start
    for arrival in arrivals:
        message = arrival.message
        if isinstance(message, Partial) and (message.stable or message.unstable):
            first.setdefault(message.segment, (arrival.at_s, message.start_s))
    for utterance in reference:
        near = [at_s for at_s, start_s in first.values() if abs(start_s - utterance.start_s) <= ONSET_S]
        if near:
            yield min(near) - utterance.start_s
