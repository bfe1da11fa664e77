"""The one CTranslate2 decode path: files, labels and live windows all go through it.

    encoder states -> languages -> tokens after the prompt -> loops, once more -> words with times

A forced prefix is not scored. It costs a decoder step per token, as generated tokens do, but for a model
whose ids are in the order for it (`whisper.prompt_order`): there it is part of the prompt, and one step.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ctranslate2
import numpy as np

from voxray.audio import HOP_LENGTH, SAMPLE_RATE, Pcm, duration_s
from voxray.transcript import Task, Word
from voxray.whisper.early_end import ends_early, is_sparse
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.loops import NO_REPEAT_NGRAM, most_tokens, repeats, without_loop
from voxray.whisper.prompts import echoes, text_room
from voxray.whisper.tokens import Tokens
from voxray.whisper.words import word_times

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)  # after openai/whisper, transcribe.py; 0 was tried before
MAX_SPEECH_DOUBT = 0.3  # probability of no speech where there was speech (at most 0.29, measured)
FRAMES_PER_S = SAMPLE_RATE // HOP_LENGTH
SILENCE = -1.5  # log-mel of digital silence, (-10 + 4) / 4 (openai/whisper, audio.py)
CACHED_S = 20.0  # a CPU processes more padded seconds at once no faster, and past its cache slower


def cached_rows(rows: Sequence[int], window_s: float, device: str) -> Iterator[Sequence[int]]:
    """Split `rows` of windows of `window_s` seconds into parts that fit a CPU's cache; none on a GPU."""
    step = max(1, len(rows) if device != "cpu" else int(CACHED_S / window_s))
    return (rows[at : at + step] for at in range(0, len(rows), step))


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """One window of at most 30 s, and how it is to be decoded.

    `language`: None is detected. `previous`: token ids of the context before the start token, alike in length
    within a batch. `prefix`: token ids that the text is forced to begin with. `words`: whether word times are
    wanted. `whole`: whether a text that ends before its speech does counts as truncated.
    """

    pcm: Pcm
    language: str | None = None
    task: Task = "transcribe"
    previous: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()
    words: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was decoded from one window.

    `ids` begin with the forced prefix and hold timestamps, but not the end of the text. `avg_logprob` is the
    mean log-probability of what follows the prefix, end of text included; NaN where a beam search found
    nothing. `truncated`: the text goes on, past the limit of tokens, into a loop that was cut off or, where
    that was asked (`AudioWindow.whole`), as far as the speech does. `words` are None unless they were wanted
    or it is truncated or suspect of that; `token_probs` are then those of the text's tokens.
    """

    ids: tuple[int, ...]
    text: str
    language: str
    avg_logprob: float
    no_speech_prob: float
    words: tuple[Word, ...] | None = None
    token_probs: tuple[float, ...] = ()
    truncated: bool = False


Accept = Callable[[Decoded], bool]
States = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class EncodedWindows:
    """Windows whose languages are known, and their encoder states, a row for each, on `window_s` seconds."""

    windows: tuple[AudioWindow, ...]
    states: Any
    window_s: float

    def rows(self, rows: Sequence[int]) -> "EncodedWindows":
        """Return some of the windows, in the order of `rows`."""
        windows = tuple(self.windows[i] for i in rows)
        return EncodedWindows(windows, states_of(self.states, rows, len(self.windows)), self.window_s)


def states_of(states: Any, rows: Sequence[int], total: int) -> Any:
    """Return `rows` of `total` encoder states, in their order; from a GPU they come back to the host."""
    if len(rows) == total:
        return states
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(on_host(states)[list(rows)]))


def on_host(states: Any) -> np.ndarray[Any, Any]:
    """Return a CTranslate2 StorageView as an array of its own dtype, copied from the GPU if it is there."""
    return np.array(states if states.device == "cpu" else states.to_device(ctranslate2.Device.cpu))


@dataclass(frozen=True)
class WindowDecoder:
    """Decodes encoded windows with one loaded `ctranslate2.models.Whisper`, from any number of threads.

    `languages`: those that are detected. `forbids_blank`: whether the model suppresses tokens at the start of
    a text.
    """

    model: Any
    tokens: Tokens
    languages: tuple[str, ...]
    forbids_blank: bool
    silences: dict[float, States] = field(default_factory=dict, repr=False)
    """Encoder states of silence by the window's seconds, made when they are first needed."""

    def decode(
        self,
        windows: Sequence[AudioWindow],
        states: Any,
        window_s: float,
        options: DecodingOptions,
        accept: Accept | None = None,
    ) -> list[Decoded]:
        """Decode windows, padded to `window_s` seconds, from their encoder states; one result for each.

        Of `options`, `beams`, `timestamps` and `max_new_tokens` count. Without `accept` decoding is greedy or
        by beam search, and loops are decoded again; what still loops is cut off. With `accept`, tokens are
        sampled at rising temperatures until it accepts the result. Raises ModelError for a language that the
        model lacks.
        """
        batch = EncodedWindows(self._with_languages(windows, states), states, window_s)
        decoded = self._sample(batch, options, accept) if accept else self._search(batch, options)
        self._retry_echoes(batch, decoded, options)
        return self._with_words(batch, decoded)

    def _with_languages(self, windows: Sequence[AudioWindow], states: Any) -> tuple[AudioWindow, ...]:
        if not self.tokens.multilingual:
            known = self.languages  # its vocabulary has no tokens for them: nothing can be detected
            spoken = [w.language if w.language in known else known[0] for w in windows]
            return tuple(replace(w, language=each) for w, each in zip(windows, spoken, strict=True))
        only = self.languages[0] if len(self.languages) == 1 else None
        named = [w.language or only for w in windows]
        unnamed = [i for i, language in enumerate(named) if not language]
        if unnamed:
            detected = self.model.detect_language(states_of(states, unnamed, len(windows)))
            for i, guesses in zip(unnamed, detected, strict=True):
                named[i] = self._likeliest(guesses)
        return tuple(replace(w, language=language) for w, language in zip(windows, named, strict=True))

    def _likeliest(self, guesses: Sequence[tuple[str, float]]) -> str:
        codes = (name.strip("<|>") for name, _ in guesses)
        return next(code for code in codes if code in self.languages)

    def _search(self, batch: EncodedWindows, options: DecodingOptions) -> list[Decoded]:
        limit = min(most_tokens(batch.window_s), options.max_new_tokens)
        decoded = self._generate(batch, limit, options)
        if limit < options.max_new_tokens:
            pairs = zip(batch.windows, decoded, strict=True)
            going_on = [d.truncated and not self._loops(w, d) for w, d in pairs]
            self._decode_again(batch, decoded, going_on, options.max_new_tokens, options)
        self._retry_loops(batch, decoded, options)
        return decoded

    def _retry_loops(self, batch: EncodedWindows, decoded: list[Decoded], options: DecodingOptions) -> None:
        """Replace loops by what is decoded with no `NO_REPEAT_NGRAM` tokens twice; cut off what still loops.

        Whisper samples at rising temperatures there; labels and scores are to be the same each time.
        """
        looping = [self._loops(w, d) for w, d in zip(batch.windows, decoded, strict=True)]
        longest_s = max(duration_s(w.pcm) for w in batch.windows)
        limit = min(most_tokens(longest_s), options.max_new_tokens)
        self._decode_again(batch, decoded, looping, limit, options, no_repeat_ngram_size=NO_REPEAT_NGRAM)
        for i, window in enumerate(batch.windows):
            if looping[i] and self._loops(window, decoded[i]):
                forced, ids = decoded[i].ids[: len(window.prefix)], decoded[i].ids[len(window.prefix) :]
                kept = (*forced, *without_loop(self.tokens, ids, duration_s(window.pcm)))
                decoded[i] = replace(decoded[i], ids=kept, text=self.tokens.decode(kept), truncated=True)

    def _retry_echoes(self, batch: EncodedWindows, decoded: list[Decoded], options: DecodingOptions) -> None:
        """Decode without their context the windows that may have no speech and repeat words of it."""
        echoing = [
            d.no_speech_prob > MAX_SPEECH_DOUBT and echoes(self.tokens, w.previous, d.ids[len(w.prefix) :])
            for w, d in zip(batch.windows, decoded, strict=True)
        ]
        plain = replace(batch, windows=tuple(replace(w, previous=()) for w in batch.windows))
        limit = min(most_tokens(batch.window_s), options.max_new_tokens)
        self._decode_again(plain, decoded, echoing, limit, options)

    def _loops(self, window: AudioWindow, decoded: Decoded) -> bool:
        return repeats(self.tokens, decoded.ids[len(window.prefix) :], duration_s(window.pcm))

    def _decode_again(
        self,
        batch: EncodedWindows,
        decoded: list[Decoded],
        chosen: Sequence[bool],
        limit: int,
        options: DecodingOptions,
        **settings: int,
    ) -> None:
        """Replace the `chosen` of `decoded` by what is decoded with another limit or other settings."""
        rows = [i for i, again in enumerate(chosen) if again]
        if rows:
            found = self._generate(batch.rows(rows), limit, options, **settings)
            for i, again in zip(rows, found, strict=True):
                decoded[i] = again

    def _sample(self, batch: EncodedWindows, options: DecodingOptions, accept: Accept) -> list[Decoded]:
        """Return each window's first accepted result by rising temperature; else its likeliest."""
        limit = min(most_tokens(batch.window_s), options.max_new_tokens)
        tried: list[list[Decoded]] = [[] for _ in batch.windows]
        accepted: dict[int, Decoded] = {}
        for temperature in TEMPERATURES:
            left = [i for i in range(len(tried)) if i not in accepted]
            if not left:
                break
            settings = {"sampling_topk": 0, "sampling_temperature": temperature}
            found = self._generate(batch.rows(left), limit, options, **settings)
            for i, decoded in zip(left, found, strict=True):
                tried[i].append(decoded)
                if accept(decoded):
                    accepted[i] = decoded
        return [accepted.get(i) or max(found, key=lambda d: d.avg_logprob) for i, found in enumerate(tried)]

    def _generate(
        self, batch: EncodedWindows, limit: int, options: DecodingOptions, **settings: Any
    ) -> list[Decoded]:
        """Return at most `limit` tokens after each window's prefix.

        Where the model forbids a blank and the end as the first token, that would make words up after a
        prefix; and one call forbids it for all rows or for none. Prompts of one call are alike in length.
        """
        in_prompt = self.tokens.start_first and not options.timestamps
        alike: dict[int, list[int]] = {}
        for i, window in enumerate(batch.windows):
            length = len(window.prefix)
            alike.setdefault(length if in_prompt else int(self.forbids_blank and length > 0), []).append(i)
        found: dict[int, Decoded] = {}
        for key, chosen in alike.items():
            generate = self._continue if in_prompt and key else self._generate_alike
            found.update(zip(chosen, generate(batch.rows(chosen), limit, options, **settings), strict=True))
        return [found[i] for i in range(len(batch.windows))]

    def _silence(self, window_s: float) -> States:
        """Return the encoder states of silence, made once for each length of window."""
        if window_s not in self.silences:
            mel = np.full((1, self.model.n_mels, round(window_s * FRAMES_PER_S)), SILENCE, np.float32)
            self.silences[window_s] = on_host(self.model.encode(ctranslate2.StorageView.from_array(mel)))
        return self.silences[window_s]

    def _start(self, window: AudioWindow, *, timestamps: bool = False) -> list[int]:
        return self.tokens.prompt(window.language, window.task, timestamps)

    def _continue(
        self, batch: EncodedWindows, limit: int, options: DecodingOptions, **settings: Any
    ) -> list[Decoded]:
        """Generate after prefixes, alike in length, that are part of the prompt.

        CTranslate2 decodes without timestamps only if the first prompt of a batch ends in <|notimestamps|>:
        so the first is one to silence, to which a model that was trained on it says nothing.
        """
        first, count = batch.windows[0], len(batch.windows[0].prefix)
        starts = [self._start(window) for window in batch.windows]
        silence = [*first.previous, *starts[0], *[self.tokens.no_timestamps] * count]
        prompts = [[*w.previous, *start, *w.prefix] for w, start in zip(batch.windows, starts, strict=True)]
        states = np.concatenate([self._silence(batch.window_s), on_host(batch.states)])
        written = max(1, min(limit, text_room(self.tokens, len(first.previous)) - count))
        results = self.model.generate(
            ctranslate2.StorageView.from_array(states),
            [silence, *prompts],
            beam_size=options.beams,
            max_length=max(2 * written, written + len(silence) - 1),
            length_penalty=_length_penalty(options),
            suppress_blank=False,
            return_scores=True,
            return_no_speech_prob=True,
            **settings,
        )[1:]
        pairs = zip(batch.windows, results, strict=True)
        return [self._decoded(w, r, options, written, after=w.prefix) for w, r in pairs]

    def _generate_alike(
        self, batch: EncodedWindows, limit: int, options: DecodingOptions, **settings: Any
    ) -> Iterator[Decoded]:
        starts = [self._start(window, timestamps=options.timestamps) for window in batch.windows]
        written = self._most_written(batch, limit)
        results = self.model.generate(
            batch.states,
            [[*w.previous, *start, *w.prefix] for w, start in zip(batch.windows, starts, strict=True)],
            beam_size=options.beams,
            # CTranslate2 writes at most half of it, and at most it less the prompt.
            max_length=max(2 * written, written + len(batch.windows[0].previous) + len(starts[0]) - 1),
            length_penalty=_length_penalty(options),
            suppress_blank=not batch.windows[0].prefix,
            return_scores=True,
            return_no_speech_prob=True,
            **settings,
        )
        return (self._decoded(w, r, options, written) for w, r in zip(batch.windows, results, strict=True))

    def _most_written(self, batch: EncodedWindows, limit: int) -> int:
        """Return how many tokens are written after the prompt; the prefix counts as written."""
        longest = max(len(w.prefix) for w in batch.windows)
        return min(longest + limit, text_room(self.tokens, len(batch.windows[0].previous)))

    def _decoded(
        self,
        window: AudioWindow,
        result: Any,
        options: DecodingOptions,
        written: int,
        after: Sequence[int] = (),
    ) -> Decoded:
        """Return a result of CTranslate2, which follows `after`, of the prefix, and begins with its rest."""
        ids = result.sequences_ids[0]
        total = float(result.scores[0]) * len(ids) ** _length_penalty(options)
        scored = len(after) + len(ids) - len(window.prefix) + 1  # with the end, without the prefix
        whole = [*after, *ids]
        return Decoded(
            ids=tuple(i for i in whole if i != self.tokens.end),
            text=self.tokens.decode(whole),
            language=window.language or "en",
            avg_logprob=total / scored if math.isfinite(total) else math.nan,
            no_speech_prob=float(result.no_speech_prob),
            truncated=len(ids) >= written and ids[-1:] != [self.tokens.end],
        )

    def _with_words(self, batch: EncodedWindows, decoded: list[Decoded]) -> list[Decoded]:
        """Add the words of the windows that want them, aligned by language and task.

        A truncated text has them too: its audio is decoded on from the last of them. So has one that may end
        early, and is truncated if it does.
        """
        suspect = {i for i, w in enumerate(batch.windows) if w.whole and self._is_sparse(w, decoded[i])}
        wanted = [i for i, w in enumerate(batch.windows) if w.words or decoded[i].truncated or i in suspect]
        timed = [replace(d, words=()) if i in wanted else d for i, d in enumerate(decoded)]
        texts = {i: text for i in wanted if (text := [t for t in decoded[i].ids if t < self.tokens.end])}
        starts = {i: (decoded[i].language, batch.windows[i].task) for i in texts}
        for start in sorted(set(starts.values())):
            alike = [i for i in texts if starts[i] == start]
            for rows in cached_rows(alike, batch.window_s, self.model.device):
                found = self._align(batch.rows(rows), [texts[i] for i in rows], *start)
                for i, (words, probs) in zip(rows, found, strict=True):
                    timed[i] = replace(timed[i], words=words, token_probs=probs)
        for i in suspect:
            if ends_early(timed[i].words or (), batch.windows[i].pcm):
                timed[i] = replace(timed[i], truncated=True)
        return timed

    def _is_sparse(self, window: AudioWindow, decoded: Decoded) -> bool:
        return is_sparse(sum(t < self.tokens.end for t in decoded.ids), window.pcm)

    def _align(
        self, batch: EncodedWindows, texts: Sequence[list[int]], language: str, task: Task
    ) -> Iterator[tuple[tuple[Word, ...], tuple[float, ...]]]:
        """Return the words of `texts`, timed by cross-attention (openai/whisper, timing.py).

        Beside the words of each are the probabilities of its tokens.
        """
        alignments = self.model.align(
            batch.states,
            self.tokens.prompt(language, task, timestamps=True),  # align adds <|notimestamps|> itself
            texts,
            [max(1, len(w.pcm) // HOP_LENGTH) for w in batch.windows],
        )
        return (
            (word_times(self.tokens, text, alignment, w.pcm), tuple(alignment.text_token_probs))
            for w, text, alignment in zip(batch.windows, texts, alignments, strict=True)
        )


def _length_penalty(options: DecodingOptions) -> float:
    """Rank beams by mean log-probability; leave a greedy score a sum, which an empty text has too."""
    return 1.0 if options.beams > 1 else 0.0
