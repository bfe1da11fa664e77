"""The reference engine: transformers' own Whisper behind the `Engine` protocol, as its authors wrote it.

It decodes with transformers' generation loop and Whisper's logit rules, forced to a language and a task, and
agrees token for token with CTranslate2 in float32 on the same weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import GenerationConfig, GenerationMixin
from transformers.generation.logits_process import LogitsProcessorList, WhisperTimeStampLogitsProcessor
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.generation_whisper import _dynamic_time_warping, _median_filter

from voxray.audio import HOP_LENGTH, SAMPLE_RATE, WINDOW_S, Pcm, duration_s, to_float
from voxray.transcript import Word
from voxray.whisper.checkpoint import load_model
from voxray.whisper.continuation import decode_whole
from voxray.whisper.ctranslate import batches
from voxray.whisper.encoder import encode
from voxray.whisper.engines import DecodingOptions, DecodingResult, decoding_result
from voxray.whisper.features import log_mel
from voxray.whisper.loops import NO_REPEAT_NGRAM, most_tokens, repeats, without_loop
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.prompts import previous_tokens
from voxray.whisper.tokens import Tokens
from voxray.whisper.words import word_times

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
MEDIAN_FILTER_WIDTH = 7  # encoder positions, 0.14 s
MAX_INITIAL_TIMESTAMP_INDEX = 50  # the first timestamp is at most 1.00 s (openai/whisper, decoding.py)


class TransformersEngine:
    """A Hugging Face Whisper folder, loaded.

    `device`: `cpu`, `cuda` or `auto`; `dtype` `auto` is float32 on CPU and float16 on CUDA. `min_window_s` is
    the smallest window that clips are padded to: Whisper's 30 s, or less where the model is trained for less.
    """

    def __init__(
        self, folder: Path, *, device: str = "auto", dtype: Dtype = "auto", min_window_s: float = WINDOW_S
    ) -> None:
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        dtype = ("float16" if device == "cuda" else "float32") if dtype == "auto" else dtype
        self.folder = folder
        self.tokens = Tokens.load(folder)
        self.min_window_s = min_window_s
        self.languages = ModelInfo.load(folder).languages or ("en",)  # where no token names them
        loaded: Any = load_model(folder, getattr(torch, dtype))
        self.model: Any = loaded.to(device).eval()

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        """Transcribe as `Engine.transcribe`: clips of like length share a batch and a window."""
        own = [options.language or language for language in languages or [None] * len(clips)]
        decode = partial(self._transcribe_batches, options=options)
        return decode_whole(decode, clips, own, self.tokens)

    def _transcribe_batches(
        self, clips: Sequence[Pcm], languages: Sequence[str | None], options: DecodingOptions
    ) -> list[DecodingResult]:
        found: dict[int, DecodingResult] = {}
        for indices, window in batches(clips, options.batch_s, self.min_window_s):
            own = [languages[i] for i in indices]
            results = self._decode([clips[i] for i in indices], window, options, own)
            found.update(zip(indices, results, strict=True))
        return [found[i] for i in range(len(clips))]

    @torch.inference_mode()
    def _decode(
        self, clips: Sequence[Pcm], window: float, options: DecodingOptions, wanted: Sequence[str | None]
    ) -> list[DecodingResult]:
        states = self.encode(clips, window)
        start_BV = self._first_logits(states)
        languages = self._languages(start_BV, wanted)
        previous = previous_tokens(self.tokens, options.prompt, options.hotwords)
        prompts = [
            [*previous, *self.tokens.prompt(lang, options.task, options.timestamps)] for lang in languages
        ]
        rows = self._generate(states, prompts, options)
        self._retry_repetitions(rows, states, clips, prompts, options)
        no_speech = start_BV.softmax(-1)[:, self.tokens.no_speech].tolist()
        ids = [[t for t in row if t != self.tokens.end] for row, _ in rows]
        words = self._words(states, clips, languages, ids, options) if options.words else [()] * len(clips)
        return [
            decoding_result(
                self.tokens,
                row,
                clip,
                language,
                avg_logprob=avg,
                no_speech_prob=silent,
                words=spans,
                truncated=self.tokens.end not in written,
            )
            for clip, language, row, (written, avg), silent, spans in zip(
                clips, languages, ids, rows, no_speech, words, strict=True
            )
        ]

    def encode(self, clips: Sequence[Pcm], window: float) -> torch.Tensor:
        """Return encoder states of `clips` padded to `window` seconds, shape (clips, 50 * window, width)."""
        samples = np.zeros((len(clips), int(window * SAMPLE_RATE)), dtype=np.float32)
        for row, clip in zip(samples, clips, strict=True):
            row[: len(clip)] = to_float(clip)
        device, dtype = self.model.device, self.model.dtype
        mel = log_mel(torch.from_numpy(samples).to(device), self.model.config.num_mel_bins)
        return encode(self.model.get_encoder(), mel.to(dtype))

    def _first_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return logits right after the start token, shape (B, vocabulary)."""
        start = torch.full((len(states), 1), self.tokens.start, device=states.device)
        logits: torch.Tensor = self.model(encoder_outputs=(states,), decoder_input_ids=start).logits
        return logits[:, 0].float()

    def _languages(self, start_BV: torch.Tensor, wanted: Sequence[str | None]) -> list[str]:
        if not self.tokens.multilingual:
            known = self.languages
            return [lang if lang in known else known[0] for lang in wanted]
        codes = list(self.tokens.languages)
        best = start_BV[:, list(self.tokens.languages.values())].argmax(-1).tolist()
        return [lang or codes[i] for lang, i in zip(wanted, best, strict=True)]

    def _retry_repetitions(
        self,
        rows: list[tuple[list[int], float]],
        states: torch.Tensor,
        clips: Sequence[Pcm],
        prompts: Sequence[Sequence[int]],
        options: DecodingOptions,
    ) -> None:
        """Decode repetitions again, as `WindowDecoder` does."""
        lengths_s = [duration_s(clip) for clip in clips]
        again = [i for i, (ids, _) in enumerate(rows) if repeats(self.tokens, ids, lengths_s[i])]
        if again:
            limit = min(options.max_new_tokens, most_tokens(max(lengths_s[i] for i in again)))
            limited = options.model_copy(update={"max_new_tokens": limit})
            chosen = [prompts[i] for i in again]
            found = self._generate(states[again], chosen, limited, no_repeat_ngram_size=NO_REPEAT_NGRAM)
            for i, (ids, avg_logprob) in zip(again, found, strict=True):
                looping = repeats(self.tokens, ids, lengths_s[i])
                kept = list(without_loop(self.tokens, ids, lengths_s[i])) if looping else ids
                rows[i] = (kept, avg_logprob)

    def _generate(
        self,
        states: torch.Tensor,
        prompts: Sequence[Sequence[int]],
        options: DecodingOptions,
        **settings: int,
    ) -> list[tuple[list[int], float]]:
        """Return each row's new ids, end of text and padding included, and their mean log-probability."""
        forced = torch.tensor(prompts, device=states.device)
        config = self._generation_config(options, forced.shape[1], **settings)
        timing = WhisperTimeStampLogitsProcessor(config, begin_index=forced.shape[1])
        # Past WhisperForConditionalGeneration.generate, which insists on 30 s and hides the scores.
        out: Any = GenerationMixin.generate(
            self.model,
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            decoder_input_ids=forced,
            attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=states.device),
            generation_config=config,
            logits_processor=LogitsProcessorList([timing] if options.timestamps else []),
        )
        beams = getattr(out, "beam_indices", None)
        logprobs = self.model.compute_transition_scores(out.sequences, out.scores, beams)
        new = out.sequences[:, forced.shape[1] :].tolist()
        return [self._until_end(row, probs) for row, probs in zip(new, logprobs.tolist(), strict=True)]

    def _until_end(self, ids: list[int], logprobs: list[float]) -> tuple[list[int], float]:
        length = ids.index(self.tokens.end) + 1 if self.tokens.end in ids else len(ids)
        return ids[:length], sum(logprobs[:length]) / max(1, length)

    def _generation_config(
        self, options: DecodingOptions, prompt_length: int, **settings: int
    ) -> GenerationConfig:
        own = self.model.generation_config
        positions = int(self.model.config.max_target_positions)
        return GenerationConfig(  # type: ignore[no-untyped-call]  # transformers gives it no types
            max_length=min(prompt_length + options.max_new_tokens, positions),
            num_beams=options.beams,
            early_stopping=options.beams
            > 1,  # as Whisper's own beam search: done with the first `beams` finished ones
            do_sample=False,
            suppress_tokens=own.suppress_tokens or None,
            begin_suppress_tokens=own.begin_suppress_tokens or None,
            decoder_start_token_id=self.tokens.start,
            bos_token_id=self.tokens.end,
            eos_token_id=self.tokens.end,
            pad_token_id=self.tokens.end,
            no_timestamps_token_id=self.tokens.no_timestamps,
            max_initial_timestamp_index=MAX_INITIAL_TIMESTAMP_INDEX,
            return_dict_in_generate=True,
            output_scores=True,
            renormalize_logits=True,
            **settings,
        )

    def _words(
        self,
        states: torch.Tensor,
        clips: Sequence[Pcm],
        languages: Sequence[str],
        ids: Sequence[Sequence[int]],
        options: DecodingOptions,
    ) -> list[tuple[Word, ...]]:
        spans: list[tuple[Word, ...]] = []
        for i, (clip, language) in enumerate(zip(clips, languages, strict=True)):
            text = [t for t in ids[i] if t < self.tokens.end]
            prompt = self.tokens.prompt(language, options.task, timestamps=False)
            frames = max(1, len(clip) // HOP_LENGTH)
            found = align(self.model, states[i : i + 1], prompt, text, self.tokens.end, frames)
            spans.append(word_times(self.tokens, text, found, clip) if text else ())
        return spans


@dataclass(frozen=True, slots=True)
class Alignment:
    """`alignments`: (token, encoder position) along the best path; named as CTranslate2's own result."""

    alignments: tuple[tuple[int, int], ...]
    text_token_probs: tuple[float, ...]


def default_heads(layers: int, heads: int) -> list[list[int]]:
    """Return every head of the last half of the decoder's layers, where no better ones are known."""
    return [[layer, head] for layer in range(layers // 2, layers) for head in range(heads)]


def usable_heads(named: Sequence[Sequence[int]], layers: int, heads: int) -> list[list[int]]:
    """Return the named (layer, head) pairs that the decoder has; the default where that leaves none."""
    kept = [[int(a), int(b)] for a, b in named if 0 <= a < layers and 0 <= b < heads]
    return kept or default_heads(layers, heads)


def alignment_heads(model: Any) -> list[list[int]]:
    """Return the heads that the model names and has."""
    named = getattr(model.generation_config, "alignment_heads", None) or []
    return usable_heads(named, model.config.decoder_layers, model.config.decoder_attention_heads)


@torch.inference_mode()
def align(
    model: Any,
    states: torch.Tensor,
    prompt: Sequence[int],
    text: Sequence[int],
    end: int,
    frames: int,
) -> Alignment:
    """Align `text` with `states`, shape (1, positions, width); `prompt` is one without timestamps."""
    ids = torch.tensor([[*prompt, *text, end]], device=states.device)
    kind = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the only one that gives attention weights
    try:
        out = model(encoder_outputs=(states,), decoder_input_ids=ids, output_attentions=True)
    finally:
        model.set_attn_implementation(kind)
    weights_HTF = torch.stack([out.cross_attentions[a][0, b] for a, b in alignment_heads(model)]).float()
    matrix_TF = token_matrix(weights_HTF, frames // 2)[len(prompt) - 1 : -1]
    tokens, positions = _dynamic_time_warping(-matrix_TF.cpu().double().numpy())
    probs_TV = out.logits[0, len(prompt) - 1 : -2, :end].float().softmax(-1)
    token_probs = probs_TV.gather(1, ids[0, len(prompt) : -1, None])[:, 0]
    path = zip(tokens.astype(int).tolist(), positions.astype(int).tolist(), strict=True)
    return Alignment(tuple(path), tuple(token_probs.tolist()))


def token_matrix(weights_HTF: torch.Tensor, positions: int) -> torch.Tensor:
    """Return attention over the clip's positions, standardised over tokens, smoothed, mean over heads."""
    weights = weights_HTF[..., : max(1, positions)]
    weights = (weights / weights.sum(-1, keepdim=True)).nan_to_num()
    std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    smooth = _median_filter(((weights - mean) / std).nan_to_num(), MEDIAN_FILTER_WIDTH)
    averaged: torch.Tensor = smooth.mean(dim=0)
    return averaged
