"""The engine that serves: raw CTranslate2 Whisper, batched over clips, on windows cut to the speech."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor

from voxray.audio import POSITIONS_PER_SECOND, SAMPLE_RATE, WINDOW_S, Pcm, duration_s, to_float
from voxray.errors import AudioError, ModelError
from voxray.transcript import Word
from voxray.whisper.engines import DecodingOptions, DecodingResult, decoding_result
from voxray.whisper.tokens import Tokens

WINDOWS_S = (2.0, 4.0, 6.0, 10.0, 15.0, 20.0, 30.0)
"""Window lengths that batches are padded to, in training and in serving alike."""


TOKENS_PER_S = 20.0  # more than anyone speaks: what writes more has fallen into a loop
SPARE_TOKENS = 32  # for timestamps, and for what short clips hold
LOOP_NGRAM = 3


def most_tokens(seconds: float) -> int:
    """How many tokens of text and timestamps can stand for so much audio."""
    return int(TOKENS_PER_S * seconds) + SPARE_TOKENS


def window_s(seconds: float, smallest_s: float = WINDOWS_S[0]) -> float:
    """The smallest window that holds `seconds` of audio and that the model can be given."""
    fitting = (w for w in WINDOWS_S if w >= seconds - 1e-6 and w >= smallest_s)
    return next(fitting, WINDOWS_S[-1])


def min_window_s(folder: Path) -> float:
    """The smallest window that the model in `folder` passed (voxray.json); 30 where nothing says so."""
    file = folder / "voxray.json"
    return float(json.loads(file.read_text()).get("min_window_s", WINDOW_S)) if file.is_file() else WINDOW_S


def batches(clips: Sequence[Pcm], batch_s: float, smallest_s: float) -> Iterator[tuple[list[int], float]]:
    """Indices of `clips` that share a window, at most `batch_s` padded seconds at a time, and that window.

    Raises AudioError for a clip over 30 s.
    """
    for i, clip in enumerate(clips):
        if duration_s(clip) > WINDOW_S:
            raise AudioError(
                f"clip {i}: expected at most {WINDOW_S:g} s, and it lasts {duration_s(clip):.2f} s."
            )
    windows = [window_s(duration_s(c), smallest_s) for c in clips]
    for window in sorted(set(windows)):
        indices = [i for i, w in enumerate(windows) if w == window]
        step = max(1, int(batch_s / window))
        for at in range(0, len(indices), step):
            yield indices[at : at + step], window


class CTranslate2Engine:
    """A CTranslate2 Whisper folder, loaded.

    `device`: `cpu`, `cuda` or `auto`; `compute_type` as CTranslate2 names them (`default`: int8 on CPU,
    float16 on CUDA); `threads` per decode, 0 for CTranslate2's choice.
    """

    def __init__(
        self, folder: Path, *, device: str = "auto", compute_type: str = "default", threads: int = 0
    ) -> None:
        if not (folder / "model.bin").is_file():
            raise ModelError(f"{folder}: expected a CTranslate2 model (model.bin), and there is none.")
        self.folder = folder
        self.tokens = Tokens.load(folder)
        self.min_window_s = min_window_s(folder)
        device = ("cuda" if ctranslate2.get_cuda_device_count() else "cpu") if device == "auto" else device
        if compute_type == "default":
            compute_type = "float16" if device == "cuda" else "int8"
        self.model = ctranslate2.models.Whisper(
            str(folder), device=device, compute_type=compute_type, intra_threads=threads
        )
        self.features = FeatureExtractor(feature_size=self.model.n_mels)

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        """As `Engine.transcribe`: clips of like length share a batch and a window."""
        found: dict[int, DecodingResult] = {}
        for indices, window in batches(clips, options.batch_s, self.min_window_s):
            batch = [clips[i] for i in indices]
            encoded = self.encode(batch, window)
            own = [languages[i] if languages else None for i in indices]
            found.update(zip(indices, self.decode(encoded, batch, options, own), strict=True))
        return [found[i] for i in range(len(clips))]

    def log_mel(self, clips: Sequence[Pcm], window: float) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Log-mel of `clips` padded to `window` seconds, shape (clips, n_mels, 100 * window)."""
        padded = np.zeros((len(clips), int(window * SAMPLE_RATE)), dtype=np.float32)
        for row, clip in zip(padded, clips, strict=True):
            row[: len(clip)] = to_float(clip)
        return np.stack([self.features(row, padding=0) for row in padded]).astype(np.float32)

    def encode(self, clips: Sequence[Pcm], window: float) -> Any:
        """Encoder states of `clips` padded to `window` seconds, as a CTranslate2 StorageView."""
        return self.model.encode(ctranslate2.StorageView.from_array(self.log_mel(clips, window)))

    def decode(
        self, encoded: Any, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None]
    ) -> list[DecodingResult]:
        """Hypotheses of one encoded batch."""
        spoken = self._languages(encoded, options.language, languages)
        prompts = [self.tokens.prompt(lang, options.task, options.timestamps) for lang in spoken]
        results = self._generate(encoded, prompts, options, options.max_new_tokens)
        self._retry_repetitions(results, encoded, clips, prompts, options)
        ids = [[t for t in r.sequences_ids[0] if t != self.tokens.end] for r in results]
        words = self._align(encoded, clips, spoken, ids, options) if options.words else [()] * len(clips)
        return [
            decoding_result(
                self.tokens,
                row,
                clip,
                language,
                avg_logprob=avg_logprob(result, options),
                no_speech_prob=float(result.no_speech_prob),
                words=spans,
            )
            for clip, language, row, result, spans in zip(clips, spoken, ids, results, words, strict=True)
        ]

    def _generate(
        self, encoded: Any, prompts: Sequence[Sequence[int]], options: DecodingOptions, most: int, **more: int
    ) -> list[Any]:
        """CTranslate2's results of at most `most` new tokens."""
        found: list[Any] = self.model.generate(
            encoded,
            prompts,
            beam_size=options.beams,
            max_length=2 * most,  # CTranslate2 halves it for what comes after the prompt
            length_penalty=_length_penalty(options),
            return_scores=True,
            return_no_speech_prob=True,
            **more,
        )
        return found

    def _retry_repetitions(
        self,
        results: list[Any],
        encoded: Any,
        clips: Sequence[Pcm],
        prompts: Sequence[Sequence[int]],
        options: DecodingOptions,
    ) -> None:
        """Decode again, with no `LOOP_NGRAM` tokens twice, what has more text than anyone can have said.

        Whisper samples at rising temperatures there; labels and scores are to be the same each time.
        """
        most = [most_tokens(duration_s(clip)) for clip in clips]
        rows = [i for i, r in enumerate(results) if len(r.sequences_ids[0]) > most[i]]
        if not rows:
            return
        longest = min(options.max_new_tokens, max(most[i] for i in rows))
        states, again = rows_of(encoded, rows, len(clips)), [prompts[i] for i in rows]
        heard = self._generate(states, again, options, longest, no_repeat_ngram_size=LOOP_NGRAM)
        for i, result in zip(rows, heard, strict=True):
            results[i] = result

    def _languages(self, encoded: Any, forced: str | None, own: Sequence[str | None]) -> list[str]:
        if not self.tokens.multilingual:
            return ["en"] * len(own)
        wanted = [forced or lang for lang in own]
        if all(wanted):
            return [lang for lang in wanted if lang]
        detected = self.model.detect_language(encoded)
        return [lang or best[0][0][2:-2] for lang, best in zip(wanted, detected, strict=True)]

    def _align(
        self,
        encoded: Any,
        clips: Sequence[Pcm],
        languages: Sequence[str],
        ids: Sequence[Sequence[int]],
        options: DecodingOptions,
    ) -> list[tuple[Word, ...]]:
        """Word times from the cross-attention of the alignment heads (openai/whisper, timing.py)."""
        texts = [[t for t in row if t < self.tokens.end] for row in ids]
        spans: list[tuple[Word, ...]] = [()] * len(clips)
        rows = [i for i, text in enumerate(texts) if text]
        for language in sorted({languages[i] for i in rows}):
            chosen = [i for i in rows if languages[i] == language]
            found = self.model.align(
                rows_of(encoded, chosen, len(clips)),
                self.tokens.prompt(
                    language, options.task, timestamps=True
                ),  # it adds <|notimestamps|> itself
                [texts[i] for i in chosen],
                [max(1, len(clips[i]) // 160) for i in chosen],
            )
            for i, alignment in zip(chosen, found, strict=True):
                spans[i] = word_times(self.tokens, texts[i], alignment)
        return spans


def _length_penalty(options: DecodingOptions) -> float:
    """Beams are ranked by mean log-probability; a greedy score is left a sum, which an empty text has too."""
    return 1.0 if options.beams > 1 else 0.0


def avg_logprob(result: Any, options: DecodingOptions) -> float:
    """Mean log-probability per token, end-of-text included; NaN for the empty text of a beam search."""
    length = len(result.sequences_ids[0])
    total = float(result.scores[0]) * length ** _length_penalty(options)
    return total / (length + 1) if math.isfinite(total) else math.nan


def rows_of(encoded: Any, rows: Sequence[int], total: int) -> Any:
    """Some `rows` of `total` encoder states, in their order; from a GPU they come back to the host."""
    if len(rows) == total:
        return encoded
    array = (
        np.array(encoded.to_device(ctranslate2.Device.cpu)) if encoded.device != "cpu" else np.array(encoded)
    )
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array[list(rows)]))


def onsets_s(count: int, alignment: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """When each of `count` aligned tokens begins, and last when they end, in seconds; shape (count + 1,)."""
    pairs = np.array([(token, frame) for token, frame in alignment.alignments])
    first = np.array([pairs[pairs[:, 0] == k, 1].min(initial=10**6) for k in range(count + 1)])
    last_frame = int(pairs[:, 1].max()) + 1
    ordered = np.minimum.accumulate(np.minimum(first, last_frame)[::-1])[::-1]
    return np.asarray(ordered / POSITIONS_PER_SECOND)


def word_times(tokens: Tokens, ids: Sequence[int], alignment: Any) -> tuple[Word, ...]:
    """Words with times from one CTranslate2 alignment; probability is the mean over a word's tokens."""
    first = onsets_s(len(ids), alignment)
    words, at = [], 0
    for group in tokens.word_groups(ids):
        end = at + len(group)
        probability = float(np.mean(alignment.text_token_probs[at:end]))
        words.append(Word(tokens.decode(group).strip(), float(first[at]), float(first[end]), probability))
        at = end
    return tuple(w for w in words if w.text)
