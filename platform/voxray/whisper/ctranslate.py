"""The engine that serves: a CTranslate2 Whisper, batched over clips, on windows cut to the speech."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor

from voxray.audio import POSITIONS_PER_SECOND, SAMPLE_RATE, WINDOW_S, Pcm, duration_s, to_float
from voxray.errors import AudioError, ModelError
from voxray.whisper.continuation import decode_whole
from voxray.whisper.decoding import AudioWindow, Decoded, WindowDecoder, cached_rows
from voxray.whisper.engines import DecodingOptions, DecodingResult, decoding_result
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.packed import transcribe_packed
from voxray.whisper.prompts import previous_tokens
from voxray.whisper.tokens import Tokens

WINDOWS_S = (2.0, 4.0, 6.0, 10.0, 15.0, 20.0, 30.0)
"""Window lengths that models are scored at, one by one."""
PADDED_S = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0)
"""Window lengths that batches are padded to, in training and in serving alike."""


def window_s(seconds: float, smallest_s: float = PADDED_S[0]) -> float:
    """Return the smallest window that holds `seconds` of audio and that the model can be given."""
    fitting = (w for w in PADDED_S if w >= seconds - 1e-6 and w >= smallest_s)
    return next(fitting, PADDED_S[-1])


def batches(clips: Sequence[Pcm], batch_s: float, smallest_s: float) -> Iterator[tuple[list[int], float]]:
    """Yield indices of `clips` that share a window, at most `batch_s` padded seconds of them, and the window.

    Raises AudioError for a clip over 30 s.
    """
    for i, clip in enumerate(clips):
        if duration_s(clip) > WINDOW_S:
            raise AudioError(f"clip {i}: expected at most {WINDOW_S:g} s, got {duration_s(clip):.2f} s.")
    windows = [window_s(duration_s(c), smallest_s) for c in clips]
    for window in sorted(set(windows)):
        indices = [i for i, w in enumerate(windows) if w == window]
        step = max(1, int(batch_s / window))
        for at in range(0, len(indices), step):
            yield indices[at : at + step], window


def chosen_device(device: str) -> str:
    """Return `device`; for `auto`, `cuda` where there is one, else `cpu`."""
    return ("cuda" if ctranslate2.get_cuda_device_count() else "cpu") if device == "auto" else device


class CTranslate2Engine:
    """A CTranslate2 Whisper folder, loaded.

    `device`: `cpu`, `cuda` or `auto`; `compute_type` as CTranslate2 names them (`default`: int8 on CPU,
    float16 on CUDA); `threads` per decode, 0 for CTranslate2's choice; `workers` decodes at a time, each
    called from a thread of its own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "auto",
        compute_type: str = "default",
        threads: int = 0,
        workers: int = 1,
    ) -> None:
        if not (folder / "model.bin").is_file():
            raise ModelError(f"{folder}: expected a CTranslate2 model, got a folder without model.bin.")
        info = ModelInfo.load(folder)
        self.folder = folder
        self.tokens = Tokens.load(folder)
        self.min_window_s = info.min_window_s
        device = chosen_device(device)
        if compute_type == "default":
            compute_type = "float16" if device == "cuda" else "int8"
        self.model = ctranslate2.models.Whisper(
            str(folder),
            device=device,
            compute_type=compute_type,
            intra_threads=threads,
            inter_threads=workers,
        )
        self.features = FeatureExtractor(feature_size=self.model.n_mels)
        languages = trained_languages(self.tokens, info)
        self.decoder = WindowDecoder(self.model, self.tokens, languages, forbids_blank=_forbids_blank(folder))

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        """Transcribe as `Engine.transcribe`: clips of like length share a batch and a window.

        A text that does not end in its window is decoded in parts (`whisper.continuation`).
        """
        only = self.decoder.languages[0] if len(self.decoder.languages) == 1 else None
        own = [options.language or language or only for language in languages or [None] * len(clips)]
        if not options.pack or self.min_window_s < WINDOW_S:
            return self._transcribe(clips, own, options)
        timed = options.model_copy(update={"words": True})
        results = transcribe_packed(partial(self._transcribe, options=timed), clips, own, self.tokens)
        return results if options.words else [replace(r, words=(), token_probs=()) for r in results]

    def _transcribe(
        self, clips: Sequence[Pcm], languages: Sequence[str | None], options: DecodingOptions
    ) -> list[DecodingResult]:
        decode = partial(self._transcribe_batches, options=options)
        return decode_whole(decode, clips, languages, self.tokens)

    def _transcribe_batches(
        self, clips: Sequence[Pcm], languages: Sequence[str | None], options: DecodingOptions
    ) -> list[DecodingResult]:
        found: dict[int, DecodingResult] = {}
        for indices, window in batches(clips, options.batch_s, self.min_window_s):
            batch = [clips[i] for i in indices]
            own = [languages[i] for i in indices]
            results = self.decode(self.encode(batch, window), batch, options, own)
            found.update(zip(indices, results, strict=True))
        return [found[i] for i in range(len(clips))]

    def log_mel(self, clips: Sequence[Pcm], window: float) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return log-mel of `clips` padded to `window` seconds, shape (clips, n_mels, 100 * window)."""
        padded = np.zeros((len(clips), int(window * SAMPLE_RATE)), dtype=np.float32)
        for row, clip in zip(padded, clips, strict=True):
            row[: len(clip)] = to_float(clip)
        return np.stack([self.features(row, padding=0) for row in padded]).astype(np.float32)

    def encode(self, clips: Sequence[Pcm], window: float) -> Any:
        """Return encoder states of `clips` padded to `window` seconds, as a CTranslate2 StorageView."""
        states = [
            self.model.encode(
                ctranslate2.StorageView.from_array(self.log_mel([clips[i] for i in rows], window))
            )
            for rows in cached_rows(range(len(clips)), window, self.model.device)
        ]
        if len(states) == 1:
            return states[0]
        return ctranslate2.StorageView.from_array(np.concatenate([np.array(s) for s in states]))

    def decode(
        self, encoded: Any, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None]
    ) -> list[DecodingResult]:
        """Decode one encoded batch of clips that share a window; `languages` as in `transcribe`."""
        previous = previous_tokens(self.tokens, options.prompt, options.hotwords)
        windows = [
            AudioWindow(
                clip, options.language or language, options.task, previous, words=options.words, whole=True
            )
            for clip, language in zip(clips, languages, strict=True)
        ]
        padded_s = encoded.shape[1] / POSITIONS_PER_SECOND
        decoded = self.decoder.decode(windows, encoded, padded_s, options)
        return [self.result(d, clip, options) for clip, d in zip(clips, decoded, strict=True)]

    def result(self, decoded: Decoded, clip: Pcm, options: DecodingOptions) -> DecodingResult:
        """Return what was decoded from `clip`, with words where `options` want them."""
        return decoding_result(
            self.tokens,
            decoded.ids,
            clip,
            decoded.language,
            avg_logprob=decoded.avg_logprob,
            no_speech_prob=decoded.no_speech_prob,
            words=decoded.words or () if options.words else (),
            token_probs=decoded.token_probs if options.words else (),
            truncated=decoded.truncated,
        )


def trained_languages(tokens: Tokens, info: ModelInfo) -> tuple[str, ...]:
    """Return the codes of the languages that a model with these tokens was trained on."""
    return info.languages or (tuple(tokens.languages) if tokens.multilingual else ("en",))


def check_language(language: str | None, known: Sequence[str], model: str) -> None:
    """Raise ModelError where `language` is none of those `known` to `model`; None is detected."""
    if language and language not in known:
        expected = f"expected {known[0]!r}, the only language" if len(known) == 1 else "expected a language"
        raise ModelError(f"language {language!r}: {expected} of {model}; name a model that knows it.")


def _forbids_blank(folder: Path) -> bool:
    """Say whether the model forbids any token at the beginning (config.json)."""
    file = folder / "config.json"
    return file.is_file() and bool(json.loads(file.read_text()).get("suppress_ids_begin"))
