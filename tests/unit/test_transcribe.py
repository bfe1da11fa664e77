import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, WINDOW_S, Block, Pcm, decode, duration_s
from voxray.speech import PAD_S, Span, sections
from voxray.text import english, word_errors
from voxray.transcribe import (
    UNDETERMINED,
    Cutting,
    TranscribeAll,
    cut,
    cut_sections,
    cutting_for,
    merge_channels,
    only_speech,
    segments_of,
    spoken_language,
    transcribe,
    transcribe_all,
    transcribe_sections,
)
from voxray.transcript import Segment, Transcript, Word
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, DecodingResult, Engine
from voxray.whisper.tokens import Tokens


def decoding_result(
    text: str, language: str = "en", *, end_s: float = 1.0, words: tuple[Word, ...] = ()
) -> DecodingResult:
    segments = (Segment(0.0, end_s, text),) if text else ()
    return DecodingResult(text, language, (), segments, words, -0.1, 0.0, 1.0)


@dataclass
class ScriptedEngine:
    """Gives `languages` in turn; a forced language is always obeyed."""

    languages: Sequence[str]
    tokens: Tokens = field(default_factory=lambda: Tokens.load(SMALL_MODEL))
    asked: list[DecodingOptions] = field(default_factory=list)
    longest_s: float = 0.0

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        self.asked.append(options)
        self.longest_s = max([self.longest_s, *map(duration_s, clips)])
        results = [options.language or self.languages[i % len(self.languages)] for i in range(len(clips))]
        return [
            decoding_result(f"said in {lang}", lang, end_s=duration_s(c))
            for lang, c in zip(results, clips, strict=True)
        ]


def at_pauses(engine: Engine) -> TranscribeAll:
    return lambda recordings, options: transcribe_all(recordings, engine, options)


@pytest.fixture(scope="module")
def engine() -> CTranslate2Engine:
    return CTranslate2Engine(SMALL_MODEL_INT8, device="cpu")


@pytest.fixture(scope="module")
def clips(engine: CTranslate2Engine) -> list[tuple[Pcm, str]]:
    """Four built-in clips that the small model transcribes without an error, with their texts."""
    files = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:24]
    pairs = [(decode(f), f.with_suffix(".txt").read_text().strip()) for f in files]
    results = engine.transcribe([pcm for pcm, _ in pairs], DecodingOptions())
    known = [p for p, h in zip(pairs, results, strict=True) if word_errors(p[1], h.text, english).errors == 0]
    return known[:4]


def joined(clips: Sequence[tuple[Pcm, str]], pause_s: float) -> Pcm:
    pause = np.zeros(round(pause_s * SAMPLE_RATE), dtype=np.int16)
    return np.concatenate([part for pcm, _ in clips for part in (pcm, pause)])


def test_a_recording_of_several_utterances_is_cut_between_them(
    engine: CTranslate2Engine, clips: list[tuple[Pcm, str]]
) -> None:
    pcm = joined(clips, pause_s=1.5)
    whole = transcribe(pcm, engine)

    assert len(whole.segments) == len(clips)
    assert whole.language == "en"
    assert whole.duration_s == pytest.approx(duration_s(pcm), abs=0.001)
    assert word_errors(" ".join(text for _, text in clips), whole.text, english).rate < 0.25
    starts = np.cumsum([0.0, *(duration_s(p) + 1.5 for p, _ in clips)])
    for segment, start_s, end_s in zip(whole.segments, starts, starts[1:], strict=False):
        assert start_s - PAD_S <= segment.start_s < segment.end_s <= end_s


def test_words_have_times_inside_their_recording(
    engine: CTranslate2Engine, clips: list[tuple[Pcm, str]]
) -> None:
    pcm = joined(clips[:2], pause_s=2.0)
    whole = transcribe(pcm, engine, DecodingOptions(words=True))

    for segment in whole.segments:
        assert " ".join(w.text for w in segment.words) == segment.text
        times = [t for w in segment.words for t in (w.start_s, w.end_s)]
        assert times == sorted(times)
        assert segment.start_s <= times[0]
        assert times[-1] <= segment.end_s + 0.1


@pytest.mark.parametrize("samples", [0, 1, 399, 16_000, 32 * 16_000])
def test_silence_of_any_length_has_no_words(samples: int, engine: CTranslate2Engine) -> None:
    whole = transcribe(np.zeros(samples, dtype=np.int16), engine)

    assert whole.segments == ()
    assert whole.language == UNDETERMINED


def test_speech_without_a_pause_is_cut_to_the_longest_window(clips: list[tuple[Pcm, str]]) -> None:
    engine = ScriptedEngine(["en"])
    whole = transcribe(np.tile(clips[0][0], 40), engine, cutting=Cutting(max_pause_s=None))

    assert len(whole.segments) > 1
    assert engine.longest_s <= WINDOW_S


def test_windows_in_another_language_are_decoded_again(clips: list[tuple[Pcm, str]]) -> None:
    engine = ScriptedEngine(["en", "en", "en", "cy"])
    whole = transcribe(joined(clips, pause_s=2.0), engine)

    assert whole.language == "en"
    assert {s.text for s in whole.segments} == {"said in en"}
    assert [o.language for o in engine.asked] == [None, "en"]


def test_a_language_that_is_given_is_kept(clips: list[tuple[Pcm, str]]) -> None:
    engine = ScriptedEngine(["en"])
    whole = transcribe(clips[0][0], engine, DecodingOptions(language="de"))

    assert whole.language == "de"
    assert {o.language for o in engine.asked} == {"de"}


def test_timestamps_are_asked_for_by_the_cutting(clips: list[tuple[Pcm, str]]) -> None:
    engine = ScriptedEngine(["en"])
    transcribe(clips[0][0], engine, DecodingOptions(timestamps=True), cutting_for(2.0))
    transcribe(clips[0][0], engine, None, cutting_for(WINDOW_S))

    assert [o.timestamps for o in engine.asked if o.language is None] == [False, True]


def test_a_recording_is_in_the_language_of_most_of_its_speech() -> None:
    spans = [Span(0, 5), Span(5, 6), Span(6, 7), Span(8, 28)]
    results = [
        decoding_result("a", "de"),
        decoding_result("b", "en"),
        decoding_result("c", "en"),
        decoding_result("", "cy"),
    ]

    assert spoken_language(spans, results) == "de"
    assert spoken_language([], []) == UNDETERMINED


def test_segments_are_shifted_and_take_their_words_along() -> None:
    window = DecodingResult(
        text="one two three",
        language="en",
        tokens=(),
        segments=(Segment(0.0, 1.0, "one two"), Segment(1.5, 2.0, "three")),
        words=(Word("one", 0.1, 0.4), Word("two", 0.5, 1.0, 0.51239), Word("three", 1.4, 2.0)),
        avg_logprob=-0.1,
        no_speech_prob=None,
        compression_ratio=1.0,
    )

    assert segments_of(window, 10.0) == [
        Segment(10.1, 11.0, "one two", (Word("one", 10.1, 10.4), Word("two", 10.5, 11.0, 0.512))),
        Segment(11.4, 12.0, "three", (Word("three", 11.4, 12.0),)),
    ]
    assert segments_of(replace(window, words=()), 10.0) == [
        Segment(10.0, 11.0, "one two"),
        Segment(11.5, 12.0, "three"),
    ]


def test_words_belong_to_the_segment_whose_text_they_are_whatever_the_times_say() -> None:
    segments = (Segment(0.0, 5.0, "今天"), Segment(5.0, 6.0, "one two."))
    words = tuple(Word(w, i, i + 1) for i, w in enumerate(["今", "天", "one", "two."]))
    window = DecodingResult("今天one two.", "zh", (), segments, words, -0.1, None, 1.0)

    assert [[w.text for w in s.words] for s in segments_of(window, 0.0)] == [["今", "天"], ["one", "two."]]


SILENT = {"no_speech_prob": 0.9, "avg_logprob": -1.2}


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        (SILENT, False),
        ({"no_speech_prob": 0.9, "avg_logprob": -0.1}, True),
        ({"no_speech_prob": 0.1, "avg_logprob": -1.1}, True),
        ({"no_speech_prob": 0.1, "avg_logprob": -1.7}, False),  # babble
        ({"no_speech_prob": None, "avg_logprob": -1.1}, True),
        ({"no_speech_prob": None, "avg_logprob": math.nan}, True),
        ({"no_speech_prob": 0.1, "avg_logprob": -0.1, "compression_ratio": 3.0}, True),
    ],
)
def test_a_text_that_no_speech_stands_for_is_dropped(scores: dict[str, float], kept: bool) -> None:
    words = (Word("thank", 0, 1), Word("you", 1, 2))
    result = replace(decoding_result("thank you", words=words), **scores)  # type: ignore[arg-type]  # by name
    [found] = only_speech([result])

    assert found is result if kept else (found.text, found.segments, found.words) == ("", (), ())


def test_dropped_windows_have_no_say_in_the_language(clips: list[tuple[Pcm, str]]) -> None:
    class Doubting(ScriptedEngine):
        def transcribe(
            self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
        ) -> list[DecodingResult]:
            results = super().transcribe(clips, options, languages)
            return [replace(r, **SILENT) if r.language == "cy" else r for r in results]  # type: ignore[arg-type]  # by name

    engine = Doubting(["cy", "cy", "en", "cy"])
    whole = transcribe(joined(clips, pause_s=2.0), engine)

    assert (whole.language, whole.text) == ("en", "said in en")
    assert [o.language for o in engine.asked] == [None, "en"]


def test_recordings_together_are_as_one_by_one(
    engine: CTranslate2Engine, clips: list[tuple[Pcm, str]]
) -> None:
    recordings = [joined(clips[:2], pause_s=1.0), np.zeros(16_000, np.int16), clips[2][0], clips[3][0]]
    together = transcribe_all(recordings, engine, DecodingOptions(pack=True))

    assert [t.text for t in together] == [transcribe(pcm, engine).text for pcm in recordings]
    assert [t.duration_s for t in together] == [round(duration_s(pcm), 3) for pcm in recordings]
    assert transcribe_all([], engine) == []


def test_blocks_are_transcribed_as_the_whole_is(
    engine: CTranslate2Engine, clips: list[tuple[Pcm, str]]
) -> None:
    pcm, options = joined(clips, pause_s=1.0), DecodingOptions(words=True)
    blocks = [Block(at, pcm[at : at + 999]) for at in range(0, len(pcm), 999)]

    assert transcribe_sections(sections(blocks), at_pauses(engine), options) == transcribe(
        pcm, engine, options
    )
    spans = cut(pcm, Cutting())
    windows = cut_sections(blocks, Cutting())
    assert windows.spans == spans.spans
    assert all(np.array_equal(a, b) for a, b in zip(windows.clips, spans.clips, strict=True))


def test_times_after_a_hole_of_hours_are_on_the_clock(clips: list[tuple[Pcm, str]]) -> None:
    said, hours = clips[0][0], 5 * 3_600
    blocks = [Block(0, said), Block(hours * SAMPLE_RATE, said)]
    first, second = transcribe_sections(sections(blocks), at_pauses(ScriptedEngine(["de"]))).segments

    assert second.start_s == pytest.approx(first.start_s + hours, abs=0.001)
    assert second.end_s == pytest.approx(first.end_s + hours, abs=0.001)
    assert [s.start_s for s in cut_sections(blocks, Cutting()).spans] == [
        pytest.approx(first.start_s),
        pytest.approx(second.start_s),
    ]


def test_the_first_section_with_speech_decides_the_language(clips: list[tuple[Pcm, str]]) -> None:
    silence, far = np.zeros(SAMPLE_RATE, np.int16), 100 * SAMPLE_RATE
    engine = ScriptedEngine(["cy"])
    blocks = [Block(0, silence), Block(far, clips[0][0]), Block(3 * far, clips[1][0])]
    whole = transcribe_sections(sections(blocks), at_pauses(engine))

    assert whole.language == "cy"
    assert [o.language for o in engine.asked if o.language != UNDETERMINED][-2:] == ["cy", "cy"]
    assert transcribe_sections(sections([Block(0, silence)]), at_pauses(engine)).language == UNDETERMINED


def test_channels_are_merged_by_time() -> None:
    one = Transcript((Segment(0.0, 1.0, "Hello"), Segment(4.0, 5.0, "Fine")), "en", 6.0)
    two = Transcript((Segment(2.0, 3.0, "Hi, how are you today"),), "cy", 5.0)
    call = merge_channels([one, two])

    assert [(s.start_s, s.text) for s in call.segments] == [
        (0.0, "Hello"),
        (2.0, "Hi, how are you today"),
        (4.0, "Fine"),
    ]
    assert [getattr(s, "channel", None) for s in call.segments] == [1, 2, 1]
    assert (call.language, call.duration_s) == ("cy", 6.0)


@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.8])
def test_speech_of_less_than_a_second_has_words(
    seconds: float, engine: CTranslate2Engine, clips: list[tuple[Pcm, str]]
) -> None:
    pcm = clips[0][0]
    first = int(np.flatnonzero(np.abs(pcm) > 500)[0])

    (segment,) = transcribe(pcm[first : first + round(seconds * SAMPLE_RATE)], engine).segments
    assert segment.text
    assert 0.0 <= segment.start_s < segment.end_s <= seconds
