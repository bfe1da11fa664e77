"""A recording of any length to a transcript: its speech is cut at pauses and decoded in batches."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from voxray.audio import SAMPLE_RATE, WINDOW_S, Block, Pcm, duration_s
from voxray.speech import MAX_PAUSE_S, Span, cut_at_pauses, sections
from voxray.transcript import ChannelSegment, Segment, Transcript, Word
from voxray.whisper.engines import DecodingOptions, DecodingResult, Engine

UNDETERMINED = "und"  # ISO 639-2: the language of a recording without speech
TIME_DIGITS = 3  # milliseconds, as captions have them


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
    cutting = cutting or Cutting()
    options = (options or DecodingOptions()).model_copy(update={"timestamps": cutting.timestamps})
    windows = cut(pcm, cutting)
    results = engine.transcribe(windows.clips, options)
    language = options.language or spoken_language(windows.spans, results)
    results = _in_language(engine, windows.clips, results, options, language)
    pairs = zip(windows.spans, results, strict=True)
    segments = tuple(s for span, result in pairs for s in segments_of(result, span.start_s))
    return Transcript(segments, language, windows.duration_s)


def transcribe_blocks(
    blocks: Iterable[Block],
    engine: Engine,
    options: DecodingOptions | None = None,
    cutting: Cutting | None = None,
) -> Transcript:
    """Transcribe the blocks of a recording, of any length, with `SECTION_S` of its audio in memory at a time.

    Times are on the clock of `blocks`. Each section is transcribed as `transcribe` does; unless `options`
    name the language, it is that of the first section with speech.
    """
    options = options or DecodingOptions()
    segments = list[Segment]()
    end = 0
    for section in sections(blocks):
        part = transcribe(section.pcm, engine, options, cutting)
        segments += (_shifted(s, section.start / SAMPLE_RATE) for s in part.segments)
        end = section.end
        if part.language != UNDETERMINED:
            options = options.model_copy(update={"language": part.language})
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


def in_channel(segment: Segment, number: int) -> ChannelSegment:
    """Return `segment` as one of channel `number`, from 1."""
    return ChannelSegment(**{f.name: getattr(segment, f.name) for f in fields(segment)}, channel=number)


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
    """Return a window's segments with their words; `start_s` is where it begins in the recording."""
    segments = [_shifted(s, start_s) for s in result.segments if s.text]
    words = [_shifted_word(w, start_s) for w in result.words]
    homes = [_home(segments, w) for w in words]
    return [
        replace(s, words=tuple(w for w, home in zip(words, homes, strict=True) if home == i))
        for i, s in enumerate(segments)
    ]


def _clip(pcm: Pcm, span: Span) -> Pcm:
    """Return the samples of `span`, never more than fit into the longest window."""
    first = round(span.start_s * SAMPLE_RATE)
    last = round(span.end_s * SAMPLE_RATE)
    return pcm[first : min(last, first + int(WINDOW_S * SAMPLE_RATE))]


def _in_language(
    engine: Engine,
    clips: Sequence[Pcm],
    results: Sequence[DecodingResult],
    options: DecodingOptions,
    language: str,
) -> list[DecodingResult]:
    others = foreign(results, language)
    again = engine.transcribe([clips[i] for i in others], options.model_copy(update={"language": language}))
    found = dict(zip(others, again, strict=True))
    return [found.get(i, r) for i, r in enumerate(results)]


def _shifted(segment: Segment, by_s: float) -> Segment:
    return Segment(
        round(segment.start_s + by_s, TIME_DIGITS),
        round(segment.end_s + by_s, TIME_DIGITS),
        segment.text,
        tuple(_shifted_word(w, by_s) for w in segment.words),
    )


def _shifted_word(word: Word, by_s: float) -> Word:
    return Word(
        word.text,
        round(word.start_s + by_s, TIME_DIGITS),
        round(word.end_s + by_s, TIME_DIGITS),
        None if word.probability is None else round(word.probability, TIME_DIGITS),
    )


def _home(segments: Sequence[Segment], word: Word) -> int:
    """Return the last segment that begins before the middle of `word`; the first where none does."""
    middle_s = (word.start_s + word.end_s) / 2
    return max((i for i, s in enumerate(segments) if s.start_s <= middle_s), default=0)
