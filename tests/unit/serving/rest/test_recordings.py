import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxray.audio import SAMPLE_RATE, Pcm, duration_s
from voxray.errors import ServiceError
from voxray.serving.protocol import ModelDescription
from voxray.serving.rest.recordings import GROUP_S, GROUPS_AT_ONCE, DecodedWindow, RecordingDecoder, grouped
from voxray.serving.rest.request import TranscriptionRequest
from voxray.serving.rest.responses import events
from voxray.speech import Span
from voxray.transcribe import UNDETERMINED, Windows
from voxray.transcript import Segment
from voxray.whisper.engines import DecodingOptions, DecodingResult


@dataclass
class ScriptedTranscriber:
    """Hears in clip n what `script` says, `language:text`; later groups are ready before earlier ones.

    A text that begins with ? is one that no speech stands for.
    """

    script: Sequence[str]
    asked: list[tuple[list[int], str | None]] = field(default_factory=list)
    running: int = 0
    most: int = 0
    fails_at: int | None = None
    suffix: str = " in {}"  # after a text whose language was forced

    async def describe(self, model: str | None) -> ModelDescription:
        return ModelDescription(2.0, ("en", "de"))

    async def describe_known(self, models: Sequence[str | None]) -> list[ModelDescription | None]:
        return [await self.describe(model) for model in models]

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, model: str | None
    ) -> list[DecodingResult]:
        numbers = [int(clip[0]) for clip in clips]
        self.asked.append((numbers, options.language))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(len(self.script) - numbers[0]):
                await asyncio.sleep(0)
            if self.fails_at in numbers:
                raise ServiceError("expected a transcriber, and it is gone.")
            return [self._result(n, options.language) for n in numbers]
        finally:
            self.running -= 1

    def _result(self, number: int, forced: str | None) -> DecodingResult:
        language, _, text = self.script[number].partition(":")
        silent = 0.9 if text.startswith("?") else 0.0
        text_of_window = text + self.suffix.format(forced) if text and forced else text
        segments = (Segment(0.0, 1.0, text_of_window),) if text_of_window else ()
        avg_logprob = -1.1 if silent else -0.1
        return DecodingResult(text_of_window, forced or language, (), segments, (), avg_logprob, silent, 1.0)


def windows(count: int, length_s: float = 20.0) -> Windows:
    """Windows of `length_s`, each with its number as its samples."""
    clips = tuple(np.full(round(length_s * SAMPLE_RATE), i, dtype=np.int16) for i in range(count))
    spans = tuple(Span(i * length_s, (i + 1) * length_s) for i in range(count))
    return Windows(spans, clips, count * length_s)


def decoder(transcriber: ScriptedTranscriber, language: str | None = None) -> RecordingDecoder:
    return RecordingDecoder(transcriber, windows(len(transcriber.script)), DecodingOptions(language=language))


async def in_order(decoder: RecordingDecoder) -> list[DecodedWindow]:
    return [window async for window in decoder.windows_in_order()]


def texts(windows: Sequence[DecodedWindow]) -> list[str]:
    return [w.result.text for w in windows]


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (["zh:今天", "zh:天气。", "zh:", "zh:很好"], "今天天气。很好"),
        (["th:ราคา", "th:ดี"], "ราคาดี"),
        (["en:Turn on", "en:the light."], "Turn on the light."),
    ],
)
def test_the_deltas_of_a_stream_are_joined_as_the_text_is_written(script: list[str], text: str) -> None:
    async def streamed() -> list[dict[str, str]]:
        stream = events(decoder(ScriptedTranscriber(script, suffix="")), TranscriptionRequest(stream=True))
        return [json.loads(event.removeprefix("data: ")) async for event in stream]

    *deltas, done = asyncio.run(streamed())
    assert "".join(d["delta"] for d in deltas) == done["text"] == text


@given(st.lists(st.floats(0.1, 30.0), max_size=40))
def test_groups_keep_the_order_and_stay_within_a_call(lengths_s: list[float]) -> None:
    clips = [np.zeros(round(s * SAMPLE_RATE), dtype=np.int16) for s in lengths_s]
    groups = grouped(range(len(clips)), clips)

    assert [i for group in groups for i in group] == list(range(len(clips)))
    assert all(sum(duration_s(clips[i]) for i in group) <= GROUP_S + 1e-6 for group in groups)
    assert all(
        sum(duration_s(clips[i]) for i in (*group, after[0])) > GROUP_S - 1e-6
        for group, after in pairwise(groups)
    )


@given(st.integers(0, 60))
def test_windows_come_in_order_however_their_groups_end(count: int) -> None:
    transcriber = ScriptedTranscriber([f"en:{i}" for i in range(count)])
    streamed = asyncio.run(in_order(decoder(transcriber, "en")))
    whole = asyncio.run(decoder(transcriber, "en").recording())

    assert texts(streamed) == [f"{i} in en" for i in range(count)]
    assert whole.windows == tuple(streamed)
    assert transcriber.most <= GROUPS_AT_ONCE


def test_groups_of_one_recording_run_together() -> None:
    transcriber = ScriptedTranscriber(["en:a"] * 60)
    asyncio.run(decoder(transcriber).recording())

    assert transcriber.most == GROUPS_AT_ONCE


def test_windows_decoded_in_another_language_are_decoded_again() -> None:
    transcriber = ScriptedTranscriber(["de:a", "en:b", "de:c", "en:d", "de:e"])
    whole = asyncio.run(decoder(transcriber).recording())

    assert whole.language == "de"
    assert texts(whole.windows) == ["a", "b in de", "c", "d in de", "e"]
    assert transcriber.asked[-1] == ([1, 3], "de")


def test_a_stream_keeps_the_language_of_its_first_words() -> None:
    transcriber = ScriptedTranscriber(
        ["cy:", "cy:", "cy:", "de:a", "en:b", "de:c", "en:d", "en:e", "en:f", "en:g"]
    )
    streamed = asyncio.run(in_order(decoder(transcriber)))

    assert texts(streamed) == ["", "", "", "a", "b in de", "c", *(f"{t} in de" for t in "defg")]
    assert transcriber.asked[:2] == [([0, 1, 2], None), ([3, 4, 5], None)]


def test_a_recording_without_words_has_no_language() -> None:
    transcriber = ScriptedTranscriber(["cy:", "en:"])

    assert asyncio.run(decoder(transcriber).recording()).language == UNDETERMINED
    assert texts(asyncio.run(in_order(decoder(transcriber)))) == ["", ""]
    assert asyncio.run(decoder(ScriptedTranscriber([])).recording()).windows == ()


def test_a_group_that_fails_ends_the_others() -> None:
    transcriber = ScriptedTranscriber([f"en:{i}" for i in range(30)], fails_at=0)

    with pytest.raises(ServiceError):
        asyncio.run(decoder(transcriber).recording())
    assert transcriber.running == 0


def test_a_stream_that_is_left_ends_what_runs() -> None:
    transcriber = ScriptedTranscriber([f"en:{i}" for i in range(60)])

    async def first() -> DecodedWindow:
        stream = decoder(transcriber, "en").windows_in_order()
        first_window = await anext(stream)
        await stream.aclose()
        return first_window

    assert asyncio.run(first()).result.text == "0 in en"
    assert transcriber.running == 0
    assert len(transcriber.asked) <= GROUPS_AT_ONCE


def test_windows_without_speech_have_no_text_and_no_say_in_the_language() -> None:
    script = ["en:one", "de:?danke", "de:?danke", "de:?danke", "en:two"]
    recording = asyncio.run(decoder(ScriptedTranscriber(script)).recording())

    assert recording.language == "en"
    assert texts(recording.windows) == ["one", "", "", "", "two"]
    in_turn = asyncio.run(in_order(decoder(ScriptedTranscriber(script))))
    assert texts(in_turn) == ["one", "", "", "", "two in en"]  # decoded after the language was known
