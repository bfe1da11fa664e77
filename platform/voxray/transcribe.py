"""Recordings of any length to transcripts: their speech is cut at pauses and decoded in batches."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from voxray.audio import SAMPLE_RATE, WINDOW_S, WINDOW_SAMPLES, Block, Pcm, duration_s
from voxray.guards import GuardResult, Guards
from voxray.speech import MAX_PAUSE_S, Span, cut_at_pauses, part, sections
from voxray.transcript import Segment, Timed, Transcript, Word, in_channel, shifted
from voxray.whisper.engines import DecodingOptions, DecodingResult, Engine

log = logging.getLogger(__name__)

UNDETERMINED = "und"  # ISO 639-2: the language of a recording without speech
TIME_DIGITS = 3  # milliseconds, as captions have them
PROBABILITY_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Cutting:
    """How a recording is cut into windows.

    `max_pause_s`: a longer pause always ends a window (None: windows are filled up). `timestamps`: the model
    gives the times of segments inside a window; else a window is one segment.
    """

    max_s: float = WINDOW_S
    max_pause_s: float | None = MAX_PAUSE_S
    timestamps: bool = False


FULL_WINDOWS = Cutting(max_pause_s=None, timestamps=True)


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """A recording of `duration_s` seconds, cut for an engine: where its windows lie, and their samples."""

    spans: tuple[Span, ...]
    clips: tuple[Pcm, ...]
    duration_s: float


TranscribeAll = Callable[[Sequence[Pcm], DecodingOptions], list[Transcript]]
"""Transcribes recordings that are in memory, one transcript for each; what `transcribe_sections` is given."""

SegmentsOf = Callable[[Sequence[Span], Sequence[DecodingResult]], Iterable[Segment]]
"""Returns a recording's segments from where its windows lie and from their results."""


def cutting_for(min_window_s: float) -> Cutting:
    """Return the cutting that suits a model whose smallest window is `min_window_s`.

    A model that was trained on 30 s windows alone, as OpenAI's, is given as much speech as fits: each window
    costs the same. One that takes short windows is given an utterance at a time.
    """
    return FULL_WINDOWS if min_window_s >= WINDOW_S else Cutting()


def transcribe(
    pcm: Pcm,
    engine: Engine,
    options: DecodingOptions | None = None,
    cutting: Cutting | None = None,
) -> Transcript:
    """Transcribe `pcm`, of any length; times are seconds from its start.

    `options.timestamps` is taken from `cutting`. A recording has one language: unless `options` name it, the
    one detected in most of the speech, and windows with another are decoded again.
    """
    return transcribe_all([pcm], engine, options, cutting)[0]


def transcribe_all(
    recordings: Sequence[Pcm],
    engine: Engine,
    options: DecodingOptions | None = None,
    cutting: Cutting | None = None,
) -> list[Transcript]:
    """Transcribe `recordings` as `transcribe` does; their windows share batches and packs."""
    cutting = cutting or Cutting()
    options = (options or DecodingOptions()).model_copy(update={"timestamps": cutting.timestamps})
    return transcribe_windows([cut(pcm, cutting) for pcm in recordings], engine, options, segments_in_windows)


def transcribe_windows(
    recordings: Sequence[Windows], engine: Engine, options: DecodingOptions, segments_from: SegmentsOf
) -> list[Transcript]:
    """Transcribe recordings that are cut into windows; the windows of all of them share batches."""
    results = iter(only_speech(engine.transcribe([clip for w in recordings for clip in w.clips], options)))
    transcripts = []
    for windows in recordings:
        own = list(islice(results, len(windows.clips)))
        language = options.language or spoken_language(windows.spans, own)
        own = _in_language(engine, windows.clips, own, options, language)
        segments = tuple(segments_from(windows.spans, own))
        transcripts.append(Transcript(segments, language, windows.duration_s))
    return transcripts


def segments_in_windows(spans: Sequence[Span], results: Sequence[DecodingResult]) -> Iterator[Segment]:
    """Yield the segments of windows that do not overlap, window by window."""
    for span, result in zip(spans, results, strict=True):
        yield from segments_of(result, span.start_s)


def only_speech(results: Sequence[DecodingResult], guards: Guards | None = None) -> list[DecodingResult]:
    """Return `results`, without the texts that `guards` take for silence.

    Loops stay: they were cut off when they were decoded. Logs a warning for texts that do not end.
    """
    guards = guards or Guards()
    if unfinished := sum(r.truncated for r in results):
        log.warning(
            "expected texts that end, got %d of %d past the limit of tokens or in a loop; words are missing "
            "at their ends.",
            unfinished,
            len(results),
        )
    return [
        replace(r, text="", tokens=(), segments=(), words=(), token_probs=())
        if guards.check(r) is GuardResult.SILENCE
        else r
        for r in results
    ]


def transcribe_sections(
    parts: Iterable[Block], transcribe_all: TranscribeAll, options: DecodingOptions | None = None
) -> Transcript:
    """Transcribe the `speech.sections` of a recording, one after another, each with `transcribe_all`.

    Times are on the recording's clock, and one section's audio is in memory at a time. Unless `options` name
    the language, it is that of the first section with speech.
    """
    options = options or DecodingOptions()
    segments = list[Segment]()
    end = 0
    for section in parts:
        (found,) = transcribe_all([section.pcm], options)
        segments += (_shifted_with_words(s, section.start / SAMPLE_RATE) for s in found.segments)
        end = section.end
        if found.language != UNDETERMINED:
            options = options.model_copy(update={"language": found.language})
    return Transcript(
        tuple(segments), options.language or UNDETERMINED, round(end / SAMPLE_RATE, TIME_DIGITS)
    )


def merge_channels(transcripts: Sequence[Transcript]) -> Transcript:
    """Return the transcripts of a recording's channels as one, in the order of their segments' times.

    Its language is that of the channel with the most text.
    """
    pairs = enumerate(transcripts, start=1)
    segments = [in_channel(s, number) for number, transcript in pairs for s in transcript.segments]
    segments.sort(key=lambda s: (s.start_s, s.channel))
    return Transcript(
        tuple(segments),
        max(transcripts, key=lambda t: len(t.text)).language,
        max(t.duration_s for t in transcripts),
    )


def cut_sections(blocks: Iterable[Block], cutting: Cutting) -> Windows:
    """Cut the blocks of a recording at its pauses, a section at a time; only its clips are kept."""
    spans, clips, end = list[Span](), list[Pcm](), 0
    for section in sections(blocks):
        windows, start_s = cut(section.pcm, cutting), section.start / SAMPLE_RATE
        spans += (Span(start_s + s.start_s, start_s + s.end_s) for s in windows.spans)
        clips += (clip.copy() for clip in windows.clips)
        end = section.end
    return Windows(tuple(spans), tuple(clips), round(end / SAMPLE_RATE, TIME_DIGITS))


def cut(pcm: Pcm, cutting: Cutting) -> Windows:
    """Cut `pcm` at its pauses; the clips are views of it."""
    spans = tuple(cut_at_pauses(pcm, cutting.max_s, max_pause_s=cutting.max_pause_s))
    clips = tuple(_clip(pcm, span) for span in spans)
    return Windows(spans, clips, round(duration_s(pcm), TIME_DIGITS))


def foreign(results: Sequence[DecodingResult], language: str) -> list[int]:
    """Return the indices of results that have text in another language than the recording's."""
    return [i for i, r in enumerate(results) if r.language != language and r.text]


def spoken_language(spans: Sequence[Span], results: Sequence[DecodingResult]) -> str:
    """Return the language of most of the seconds that have text; `UNDETERMINED` where none have."""
    seconds: dict[str, float] = defaultdict(float)
    for span, result in zip(spans, results, strict=True):
        if result.text:
            seconds[result.language] += span.length_s
    return max(seconds, key=lambda code: seconds[code], default=UNDETERMINED)


def segments_of(result: DecodingResult, start_s: float) -> list[Segment]:
    """Return a window's segments with their words; `start_s` is where it begins in the recording.

    A segment with words begins and ends with them.
    """
    words = iter(result.words)
    segments = []
    for segment in (s for s in result.segments if s.text):
        own = tuple(_rounded_word(shifted(w, start_s)) for w in _words_of(segment.text, words))
        timed = _rounded(shifted(segment, start_s))
        if own:
            timed = replace(timed, start_s=own[0].start_s, end_s=own[-1].end_s, words=own)
        segments.append(timed)
    return segments


def _words_of(text: str, words: Iterator[Word]) -> Iterator[Word]:
    """Yield from `words` those that make up `text`."""
    left = len("".join(text.split()))
    while left > 0 and (word := next(words, None)):
        left -= len("".join(word.text.split()))
        yield word


def _clip(pcm: Pcm, span: Span) -> Pcm:
    """Return the samples of `span`, never more than fit into the longest window."""
    return part(pcm, span)[:WINDOW_SAMPLES]


def _in_language(
    engine: Engine,
    clips: Sequence[Pcm],
    results: Sequence[DecodingResult],
    options: DecodingOptions,
    language: str,
) -> list[DecodingResult]:
    others = foreign(results, language)
    again = engine.transcribe([clips[i] for i in others], options.model_copy(update={"language": language}))
    found = dict(zip(others, only_speech(again), strict=True))
    return [found.get(i, r) for i, r in enumerate(results)]


def _shifted_with_words(segment: Segment, by_s: float) -> Segment:
    words = tuple(_rounded(shifted(w, by_s)) for w in segment.words)
    return replace(_rounded(shifted(segment, by_s)), words=words)


def _rounded(timed: Timed) -> Timed:
    return replace(timed, start_s=round(timed.start_s, TIME_DIGITS), end_s=round(timed.end_s, TIME_DIGITS))


def _rounded_word(word: Word) -> Word:
    probability = None if word.probability is None else round(word.probability, PROBABILITY_DIGITS)
    return replace(_rounded(word), probability=probability)
