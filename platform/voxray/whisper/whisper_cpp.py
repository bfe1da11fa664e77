"""whisper.cpp itself (pywhispercpp) behind what an export is checked with.

It decodes as the other engines do: greedily, without timestamps, at temperature 0 alone. Attention is not
`flash_attn`: that one attends to the zeros behind a short `audio_ctx` as well.
"""

import json
import math
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from voxray.audio import POSITIONS_PER_SECOND, WINDOW_S, Pcm, duration_s, to_float
from voxray.errors import MissingDependency
from voxray.whisper.ctranslate import window_s
from voxray.whisper.engines import DecodingOptions, DecodingResult, decoding_result
from voxray.whisper.tokens import Tokens

LEAST_PROBABILITY = 1e-9


def has_whisper_cpp() -> bool:
    """Whether whisper.cpp can be run here."""
    return find_spec("pywhispercpp") is not None


class WhisperCppEngine:
    """A GGML file, loaded by whisper.cpp for the CPU.

    `source` is the Hugging Face folder that the file was made from: its generation config says which tokens
    are suppressed. `min_window_s` is the smallest window that clips are padded to.
    """

    def __init__(self, file: Path, source: Path, *, min_window_s: float = WINDOW_S, threads: int = 0) -> None:
        if not has_whisper_cpp():
            raise MissingDependency(
                f"{file}: expected whisper.cpp to run it, got none; pip install pywhispercpp."
            )
        from pywhispercpp.model import Model  # an extra

        self.tokens = Tokens.load(source)
        self.min_window_s = min_window_s
        generation = json.loads((source / "generation_config.json").read_text())
        self.model: Any = Model(
            str(file),
            redirect_whispercpp_logs_to=None,
            context_params={"use_gpu": False, "flash_attn": False},
            n_threads=threads or os.cpu_count() or 1,
            no_timestamps=True,
            single_segment=True,
            temperature_inc=0.0,
            greedy={"best_of": 1},
            no_speech_thold=1.0,
            suppress_blank=self.tokens.end in (generation.get("begin_suppress_tokens") or ()),
            suppress_nst=bool(generation.get("suppress_tokens")),
            print_progress=False,
        )

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        """Transcribe as `Engine.transcribe`, one clip after the other, without words and prompts.

        A clip whose language is None is taken for English.
        """
        own = [options.language or language or "en" for language in languages or [None] * len(clips)]
        return [self._transcribe(clip, language) for clip, language in zip(clips, own, strict=True)]

    def _transcribe(self, clip: Pcm, language: str) -> DecodingResult:
        window = window_s(duration_s(clip), self.min_window_s)
        segments = self.model.transcribe(
            to_float(clip),
            language=language,
            audio_ctx=int(POSITIONS_PER_SECOND * window),
            extract_probability=True,
        )
        ids = [token for segment in segments for token in self.tokens.encode(f" {segment.text}")]
        sure = [math.log(max(s.probability, LEAST_PROBABILITY)) for s in segments]
        return decoding_result(
            self.tokens,
            ids,
            clip,
            language,
            avg_logprob=sum(sure) / max(1, len(sure)),
            no_speech_prob=None,
        )
