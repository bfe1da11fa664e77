"""A peer to score against: faster-whisper's own transcription, behind the `Engine` protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voxray.audio import WINDOW_S, Pcm, to_float
from voxray.text import compression_ratio
from voxray.transcript import Segment
from voxray.whisper.engines import DecodingOptions, DecodingResult
from voxray.whisper.tokens import Tokens


class FasterWhisperEngine:
    """A CTranslate2 folder, transcribed with faster-whisper's defaults but for the width of the beam search.

    It takes recordings of any length.
    """

    min_window_s = WINDOW_S

    def __init__(self, folder: Path, *, device: str = "auto", compute_type: str = "default") -> None:
        from faster_whisper import WhisperModel  # its decoding is not needed elsewhere

        self.tokens = Tokens.load(folder)
        self.model: Any = WhisperModel(str(folder), device=device, compute_type=compute_type)

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        """Transcribe as `Engine.transcribe`, one clip after another; results have no tokens and no words."""
        own = [options.language or language for language in languages or [None] * len(clips)]
        return [self._transcribed(clip, language, options) for clip, language in zip(clips, own, strict=True)]

    def _transcribed(self, clip: Pcm, language: str | None, options: DecodingOptions) -> DecodingResult:
        found, info = self.model.transcribe(
            to_float(clip),
            language=language,
            task=options.task,
            beam_size=options.beams,
            initial_prompt=options.prompt or None,
            hotwords=options.hotwords or None,
        )
        segments = list(found)
        text = " ".join(s.text.strip() for s in segments)
        return DecodingResult(
            text=text,
            language=info.language,
            tokens=(),
            segments=tuple(Segment(s.start, s.end, s.text.strip()) for s in segments),
            words=(),
            avg_logprob=min((s.avg_logprob for s in segments), default=0.0),
            no_speech_prob=max((s.no_speech_prob for s in segments), default=None),
            compression_ratio=compression_ratio(text),
        )
