"""Live windows to hypotheses, over raw CTranslate2.

    jobs -> windows -> encoder states, once -> languages -> tokens after the forced ones -> words, with times

Forced prefixes cost a decoder step each, as generated tokens do, and are not scored. A fallback is sampled at
rising temperatures until the guards pass it.

Measured with the built-in model, batches of 8, on one core of an AMD EPYC that a training run shared (upper
bounds), in ms per window of 2, 4, 6 and 10 s: features 0.7, 1.3, 1.5, 2.9; encoder 3.7, 7, 11, 23; decoder
0.9, 1.8, 2.7, 6; alignment, for finals, 1.3, 2.4, 4, 10.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np

from voxray.audio import HOP_LENGTH, SAMPLE_RATE, Pcm, duration_s
from voxray.errors import VoxrayError
from voxray.serving.protocol import Job
from voxray.serving.transcriber.scheduler import Group
from voxray.serving.transcriber.windows import Window, Windows
from voxray.serving.transcriber.words import cut, timed, token_starts
from voxray.streaming.events import DecodeMode, Hypothesis, HypothesisWord
from voxray.streaming.guards import GuardResult, Guards
from voxray.text import compression_ratio
from voxray.whisper import engines
from voxray.whisper.ctranslate import CTranslate2Engine, batches, onsets_s, rows_of, window_s
from voxray.whisper.engines import DecodingOptions

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)  # after openai/whisper, transcribe.py; 0 was the final before it
TOKENS_PER_S = 20  # more than anyone speaks: what writes more has fallen into a loop
SPARE_TOKENS = 32
PIECE_S = 30.0  # of files, padding included: live windows wait for one piece at most
CACHED_S = 20.0  # a CPU encodes more padded seconds at once no faster, and past its cache slower

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """What was generated for one window, the forced prefix included; `avg_logprob` is of the rest."""

    ids: tuple[int, ...]
    text: str
    avg_logprob: float
    no_speech_prob: float

    def hypothesis(self, language: str, words: tuple[HypothesisWord, ...] | None = None) -> Hypothesis:
        """With the words that were timed, else with those of the text."""
        return Hypothesis(
            words=tuple(HypothesisWord(w) for w in cut(self.text)) if words is None else words,
            language=language,
            avg_logprob=self.avg_logprob,
            no_speech_prob=self.no_speech_prob,
            compression_ratio=compression_ratio(self.text),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows of one group, encoded: `encoded` has a row for each, `window_s` is what they are padded to."""

    windows: tuple[Window, ...]
    languages: tuple[str, ...]
    encoded: Any
    window_s: float

    def rows(self, rows: Sequence[int]) -> "Batch":
        """Some of its windows."""
        return Batch(
            tuple(self.windows[i] for i in rows),
            tuple(self.languages[i] for i in rows),
            rows_of(self.encoded, rows, len(self.windows)),
            self.window_s,
        )


class Decoder:
    """Decodes live windows, and pieces of files, with one loaded model; one call at a time.

    `languages`: those that it may hear; the model's own where none are given.
    """

    def __init__(
        self, engine: CTranslate2Engine, guards: Guards | None = None, languages: Sequence[str] = ()
    ) -> None:
        self._engine = engine
        self._tokens = engine.tokens
        self._guards = guards or Guards()
        self._windows = Windows(engine.tokens)
        own = engine.tokens.languages if engine.tokens.multilingual else ("en",)
        self.languages = tuple(languages or _languages(engine.folder) or own)
        self._forbids_blank = _forbids_blank(engine.folder)

    def group(self, job: Job) -> Group:
        """What `job` shares with the others of its batch; also of one that cannot be decoded."""
        seconds = len(job.pcm) // 2 / SAMPLE_RATE
        return Group(
            previous_tokens=len(self._windows.previous(job.prompt, job.hotwords)),
            task_tokens=self._windows.task_tokens,
            window_s=window_s(seconds, self._engine.min_window_s),
            temperature=TEMPERATURES[0] if job.mode is DecodeMode.FALLBACK else 0.0,
        )

    def decode(self, jobs: Sequence[Job]) -> list[Hypothesis | None]:
        """One hypothesis per job of one group, in order; None for a job that cannot be decoded."""
        windows = {i: w for i, job in enumerate(jobs) if (w := self._window(job))}
        if not windows:
            return [None] * len(jobs)
        found = dict(zip(windows, self._decode(tuple(windows.values())), strict=True))
        return [found.get(i) for i in range(len(jobs))]

    def pieces(self, clips: Sequence[Pcm]) -> Iterator[list[int]]:
        """Indices of `clips` that are transcribed in one go; AudioError for a clip over 30 s."""
        return (indices for indices, _ in batches(clips, PIECE_S, self._engine.min_window_s))

    def transcribe(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[engines.DecodingResult]:
        """As `Engine.transcribe`; a model of one language is not asked which it hears."""
        only = self.languages[0] if len(self.languages) == 1 else None
        language = options.language or only
        return self._engine.transcribe(clips, options.model_copy(update={"language": language}))

    def _window(self, job: Job) -> Window | None:
        try:
            return self._windows.window(job)
        except VoxrayError as e:
            log.warning("session %s, job %d: %s", job.session, job.number, e)
            return None

    def _decode(self, windows: tuple[Window, ...]) -> list[Hypothesis]:
        padded_s = max(self.group(w.job).window_s for w in windows)
        encoded = self._encode([w.pcm for w in windows], padded_s)
        batch = Batch(windows, self._spoken(encoded, windows), encoded, padded_s)
        sampled = any(w.job.mode is DecodeMode.FALLBACK for w in windows)
        heard = self._sample(batch) if sampled else self._generate(batch)
        words = self._words(batch, heard)
        return [h.hypothesis(lang, w) for h, lang, w in zip(heard, batch.languages, words, strict=True)]

    # Encoding, and what is spoken.

    def _encode(self, clips: Sequence[Pcm], padded_s: float) -> Any:
        """Encoder states of `clips` padded to `padded_s`."""
        pieces = list(self._cached(list(range(len(clips))), padded_s))
        if len(pieces) == 1:
            return self._engine.encode(clips, padded_s)
        states = [np.array(self._engine.encode([clips[i] for i in rows], padded_s)) for rows in pieces]
        return ctranslate2.StorageView.from_array(np.concatenate(states))

    def _cached(self, rows: Sequence[int], padded_s: float) -> Iterator[Sequence[int]]:
        """`rows` in pieces that fit a CPU's cache; whole on a GPU."""
        step = len(rows) if self._engine.model.device != "cpu" else max(1, int(CACHED_S / padded_s))
        return (rows[at : at + step] for at in range(0, len(rows), step))

    def _spoken(self, encoded: Any, windows: Sequence[Window]) -> tuple[str, ...]:
        """The jobs' own languages, else the model's where it has one, else the likeliest that it has.

        A job's own that the model has no token for is as none: its hypothesis says what was heard instead.
        """
        if not self._tokens.multilingual:
            return ("en",) * len(windows)
        only = self.languages[0] if len(self.languages) == 1 else None
        asked = [w.job.language if w.job.language in self._tokens.languages else only for w in windows]
        named = {i: language for i, language in enumerate(asked) if language}
        open_ = [i for i in range(len(windows)) if i not in named]
        if open_:
            guesses = self._engine.model.detect_language(rows_of(encoded, open_, len(windows)))
            named.update(zip(open_, map(self._likeliest, guesses), strict=True))
        return tuple(named[i] for i in range(len(windows)))

    def _likeliest(self, guesses: Sequence[tuple[str, float]]) -> str:
        codes = (name.strip("<|>") for name, _ in guesses)
        return next(code for code in codes if code in self.languages)

    # Generating.

    def _generate(self, batch: Batch, temperature: float = 0.0) -> list[Heard]:
        """What is heard at `temperature`, in order.

        Whisper forbids a blank and the end as the first token. After a prefix that would make words up; and
        one call does it for all rows or for none.
        """
        rows = range(len(batch.windows))
        alike = [[i for i in rows if bool(batch.windows[i].prefix) is forced] for forced in (True, False)]
        if not self._forbids_blank:
            alike = [list(rows)]
        found: dict[int, Heard] = {}
        for chosen in filter(None, alike):
            found.update(zip(chosen, self._generate_alike(batch.rows(chosen), temperature), strict=True))
        return [found[i] for i in rows]

    def _generate_alike(self, batch: Batch, temperature: float) -> Iterator[Heard]:
        """What is heard in windows with a prefix, or in windows without."""
        prompts = [
            [*w.previous, *self._tokens.prompt(lang, w.job.task), *w.prefix]
            for w, lang in zip(batch.windows, batch.languages, strict=True)
        ]
        results = self._engine.model.generate(
            batch.encoded,
            prompts,
            beam_size=1,
            max_length=self._max_length(batch),
            length_penalty=0.0,  # the score is then a sum
            suppress_blank=not batch.windows[0].prefix,
            sampling_topk=0 if temperature else 1,
            sampling_temperature=temperature or 1.0,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return map(self._heard, batch.windows, results)

    def _max_length(self, batch: Batch) -> int:
        """The bound as CTranslate2 wants it.

        It writes at most half of it, and at most it less the prompt; the prefix is written too.
        """
        previous = len(batch.windows[0].previous)
        longest = max(len(w.prefix) for w in batch.windows)
        spoken = longest + int(TOKENS_PER_S * batch.window_s) + SPARE_TOKENS
        tokens = min(spoken, self._windows.room(previous))
        return max(2 * tokens, tokens + previous + self._windows.task_tokens - 1)

    def _heard(self, window: Window, result: Any) -> Heard:
        ids = result.sequences_ids[0]
        decoded = len(ids) - len(window.prefix) + 1  # the end of the text too; forced tokens are not scored
        text = tuple(i for i in ids if i < self._tokens.end)
        return Heard(
            ids=text,
            text=self._tokens.decode(text),
            avg_logprob=float(result.scores[0]) / decoded,
            no_speech_prob=float(result.no_speech_prob),
        )

    def _sample(self, batch: Batch) -> list[Heard]:
        """For each window the first, by rising temperature, that the guards pass; else the likeliest."""
        tried: list[list[Heard]] = [[] for _ in batch.windows]
        passed: dict[int, Heard] = {}
        for temperature in TEMPERATURES:
            left = [i for i in range(len(tried)) if i not in passed]
            if not left:
                break
            for i, heard in zip(left, self._generate(batch.rows(left), temperature), strict=True):
                tried[i].append(heard)
                if self._guards.check(heard.hypothesis(batch.languages[i])) is GuardResult.SOUND:
                    passed[i] = heard
        return [passed.get(i) or max(h, key=lambda heard: heard.avg_logprob) for i, h in enumerate(tried)]

    # Word times.

    def _words(self, batch: Batch, heard: Sequence[Heard]) -> list[tuple[HypothesisWord, ...] | None]:
        """The words with times of the windows that ask for them, from the cross-attention; else None."""
        words: list[tuple[HypothesisWord, ...] | None] = [None] * len(heard)
        asked = [i for i, h in enumerate(heard) if h.ids and batch.windows[i].job.word_times]
        spoken = [(language, w.job.task) for language, w in zip(batch.languages, batch.windows, strict=True)]
        for start in sorted({spoken[i] for i in asked}):
            for rows in self._cached([i for i in asked if spoken[i] == start], batch.window_s):
                found = self._align(batch.rows(rows), [heard[i] for i in rows], *start)
                for i, timed_words in zip(rows, found, strict=True):
                    words[i] = timed_words
        return words

    def _align(
        self, batch: Batch, heard: Sequence[Heard], language: str, task: str
    ) -> Iterator[tuple[HypothesisWord, ...]]:
        """Words with times of windows in one language; it adds <|notimestamps|> itself."""
        alignments = self._engine.model.align(
            batch.encoded,
            self._tokens.prompt(language, task, timestamps=True),
            [list(h.ids) for h in heard],
            [max(1, len(w.pcm) // HOP_LENGTH) for w in batch.windows],
        )
        return map(self._timed, batch.windows, heard, alignments)

    def _timed(self, window: Window, heard: Heard, alignment: Any) -> tuple[HypothesisWord, ...]:
        return timed(
            cut(heard.text),
            token_starts(self._tokens, heard.ids),
            onsets_s(len(heard.ids), alignment).tolist(),
            alignment.text_token_probs,
            duration_s(window.pcm),
        )


def _languages(folder: Path) -> tuple[str, ...]:
    """Those that the model was trained on (voxray.json); none where nothing says so."""
    file = folder / "voxray.json"
    return tuple(json.loads(file.read_text()).get("languages", ())) if file.is_file() else ()


def _forbids_blank(folder: Path) -> bool:
    """Whether the model forbids any token at the beginning (config.json)."""
    file = folder / "config.json"
    return file.is_file() and bool(json.loads(file.read_text()).get("suppress_ids_begin"))
