"""The same audio through `voxray.transcribe`: what the model recognises offline."""

from collections.abc import Sequence

from tests.benchmarks.client_scores import errors
from tests.benchmarks.playing import Part

from voxray.scoring.metrics import pooled
from voxray.text import ErrorCounts
from voxray.transcribe import cutting_for, transcribe
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.models import ctranslate2_folder


class Offline:
    """A model that transcribes each part once: a client plays the same, however many there are beside it."""

    def __init__(self, model: str, language: str | None) -> None:
        self._engine = CTranslate2Engine(ctranslate2_folder(model))
        self._options = DecodingOptions(language=language)
        self._known: dict[tuple[str, int], ErrorCounts] = {}

    def __call__(self, parts: Sequence[Part]) -> ErrorCounts:
        """The pooled word errors of `parts`, their own texts being the reference."""
        return pooled([self._errors(part) for part in parts])

    def _errors(self, part: Part) -> ErrorCounts:
        key = part.recording.name, part.seed
        if key not in self._known:
            played = part.played()
            cutting = cutting_for(self._engine.min_window_s)
            transcript = transcribe(played.pcm, self._engine, self._options, cutting)
            self._known[key] = errors(" ".join(u.text for u in played.utterances), transcript.text)
        return self._known[key]
