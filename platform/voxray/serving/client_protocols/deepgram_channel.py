"""One channel of a stream of Deepgram's: its results, as its session's messages come."""

from collections.abc import Mapping, Sequence
from typing import Any

from voxray.serving.client_protocols.base import Frame
from voxray.serving.client_protocols.deepgram_options import DeepgramOptions
from voxray.transcript import Word
from voxray.wire import Ack, Final, Finalized, Partial, ServerMessage, SpeechEnd, SpeechStart
from voxray.word_segmentation import bare_words
from voxray.writing_systems import join_texts


class DeepgramChannel:
    """Channel `index` of `count`. `metadata` is that of each result."""

    def __init__(
        self, options: DeepgramOptions, metadata: Mapping[str, Any], index: int = 0, count: int = 1
    ) -> None:
        self._options, self._metadata = options, metadata
        self._index = [index, count]
        self._speaking = False
        self._position_s = 0.0  # of the last segment
        self._gap_from_s: float | None = None  # the end of the last word, while an UtteranceEnd may follow
        self._answered = False  # whether a final has answered the `Finalize` whose `Finalized` comes next

    def frames(self, message: ServerMessage, flushed: set[int]) -> list[Frame]:
        """Return the frames for a message; the finals of the segments in `flushed` answer a `Finalize`."""
        if isinstance(message, SpeechStart):
            return self._speech_started(message.at_s)
        if isinstance(message, Partial):
            return self._interim(message)
        if isinstance(message, SpeechEnd):
            self._speaking = False
        elif isinstance(message, Final):
            return self._final(message, from_finalize=message.segment in flushed)
        elif isinstance(message, Finalized):
            return self._finalized()
        elif isinstance(message, Ack):
            return self._utterance_end(message.processed_s)
        return []

    def _speech_started(self, at_s: float) -> list[Frame]:
        ended, self._gap_from_s, self._speaking = self._utterance_end(at_s), None, True
        self._position_s = at_s
        event = {"type": "SpeechStarted", "channel": self._index, "timestamp": round(at_s, 3)}
        return [*ended, Frame.of(event)] if self._options.vad_events else ended

    def _interim(self, partial: Partial) -> list[Frame]:
        text = self._written(partial.stable + partial.unstable)
        bounds_s = partial.start_s, partial.end_s
        return [self._results(bounds_s, text, is_final=False)] if text else []

    def _final(self, final: Final, *, from_finalize: bool) -> list[Frame]:
        self._position_s, self._answered = final.end_s, from_finalize
        if final.text and not self._speaking:
            self._gap_from_s = final.words[-1].end_s if final.words else final.end_s
        return [
            self._results(
                (final.start_s, final.end_s),
                self._written(final.text),
                final.words or (),
                speech_final=not self._speaking and self._options.endpointing is not None,
                from_finalize=from_finalize,
            )
        ]

    def _finalized(self) -> list[Frame]:
        """Answer a `Finalize` after which no final came."""
        answered, self._answered = self._answered, False
        bounds_s = self._position_s, self._position_s
        return [] if answered else [self._results(bounds_s, "", from_finalize=True)]

    def _utterance_end(self, processed_s: float) -> list[Frame]:
        """Return an `UtteranceEnd` once the silence after the last word has come to its length."""
        wanted_ms, end_s = self._options.utterance_end_ms, self._gap_from_s
        if wanted_ms is None or end_s is None or processed_s < end_s + wanted_ms / 1000:
            return []
        self._gap_from_s = None
        return [Frame.of({"type": "UtteranceEnd", "channel": self._index, "last_word_end": round(end_s, 3)})]

    def _results(
        self,
        bounds_s: tuple[float, float],
        text: str,
        words: Sequence[Word] = (),
        *,
        is_final: bool = True,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> Frame:
        probabilities = [w.probability for w in words if w.probability is not None]
        confidence = sum(probabilities) / len(probabilities) if probabilities else 0.0
        alternative = {
            "transcript": text,
            "confidence": round(confidence, 4),
            "words": [self._word(w) for w in words],
        }
        values = {
            "type": "Results",
            "channel_index": self._index,
            "start": round(bounds_s[0], 3),
            "duration": round(bounds_s[1] - bounds_s[0], 3),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [alternative]},
            "metadata": self._metadata,
        }
        return Frame.of(values, replaceable=not is_final)

    def _word(self, word: Word) -> dict[str, Any]:
        values = {
            "word": _bare(word.text) or word.text.lower(),
            "start": word.start_s,
            "end": word.end_s,
            "confidence": round(word.probability or 0.0, 4),
        }
        return values | ({"punctuated_word": word.text} if self._punctuated else {})

    def _written(self, text: str) -> str:
        """Return `text` with its punctuation and capitals only where a client asks for them."""
        return text.strip() if self._punctuated else _bare(text)

    @property
    def _punctuated(self) -> bool:
        return self._options.punctuate or self._options.smart_format


def _bare(text: str) -> str:
    return join_texts(bare_words(text)).lower()
