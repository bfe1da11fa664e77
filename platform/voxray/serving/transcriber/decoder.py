"""Jobs to the windows that `whisper.decoding` decodes, and what it decoded back to hypotheses.

Measured with the tests' small model, batches of 8, on one core of an AMD EPYC that a training run shared
(upper bounds), in ms per window of 2, 4, 6 and 10 s: features 0.7, 1.3, 1.5, 2.9; encoder 3.7, 7, 11, 23;
decoder 0.9, 1.8, 2.7, 6; alignment, for finals, 1.3, 2.4, 4, 10.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from voxray.audio import SAMPLE_RATE, WINDOW_S, Pcm, duration_s
from voxray.errors import AudioError, ModelError, VoxrayError
from voxray.guards import GuardResult, Guards
from voxray.serving.protocol import Job, ModelDescription
from voxray.serving.transcriber.scheduler import Group
from voxray.streaming.events import DecodeMode, Hypothesis, HypothesisWord
from voxray.text import compression_ratio
from voxray.whisper.ctranslate import CTranslate2Engine, batches, window_s
from voxray.whisper.decoding import TEMPERATURES, AudioWindow, Decoded
from voxray.whisper.engines import DecodingOptions, DecodingResult
from voxray.whisper.prompts import plain_tokens, previous_tokens, text_room
from voxray.whisper.tokens import MAX_LABEL_TOKENS
from voxray.word_segmentation import split_words

FILE_BATCH_S = 30.0  # of files, padding included: live windows wait for one batch of them at most
GREEDY = DecodingOptions(max_new_tokens=MAX_LABEL_TOKENS)  # bounded by the window and the decoder alone

log = logging.getLogger(__name__)


class Decoder:
    """Decodes live windows, and batches of clips from files, with one loaded model; from any thread."""

    def __init__(self, engine: CTranslate2Engine, guards: Guards | None = None) -> None:
        self._engine = engine
        self._guards = guards or Guards()
        self._task_tokens = len(engine.tokens.prompt())
        # All jobs of a session have the same.
        self._previous: Callable[[str, str], tuple[int, ...]] = lru_cache(maxsize=1024)(
            lambda prompt, hotwords: previous_tokens(engine.tokens, prompt, hotwords)
        )

    @property
    def description(self) -> ModelDescription:
        """The model's smallest window, and the languages that it was trained on, and that are detected."""
        return ModelDescription(self._engine.min_window_s, self._engine.decoder.languages)

    def group(self, job: Job) -> Group:
        """Return what `job` shares with the others of its batch; also of one that cannot be decoded."""
        seconds = len(job.pcm) // 2 / SAMPLE_RATE
        return Group(
            previous_tokens=len(self._previous(job.prompt, job.hotwords)),
            task_tokens=self._task_tokens,
            window_s=window_s(seconds, self._engine.min_window_s),
            temperature=TEMPERATURES[0] if job.mode is DecodeMode.FALLBACK else 0.0,
            model=job.model,
        )

    def decode(self, jobs: Sequence[Job]) -> list[Hypothesis | None]:
        """Return one hypothesis per job of one group, in order; None for a job that cannot be decoded."""
        windows = {i: w for i, job in enumerate(jobs) if (w := self._checked_window(job))}
        found: dict[int, Hypothesis] = {}
        if windows:
            decoded = self._decode([jobs[i] for i in windows], list(windows.values()))
            found.update(zip(windows, map(hypothesis, decoded), strict=True))
        return [found.get(i) for i in range(len(jobs))]

    def file_batches(self, clips: Sequence[Pcm]) -> Iterator[list[int]]:
        """Yield indices of `clips` that are transcribed in one go; AudioError for a clip over 30 s."""
        return (indices for indices, _ in batches(clips, FILE_BATCH_S, self._engine.min_window_s))

    def transcribe(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[DecodingResult]:
        """Transcribe as `Engine.transcribe`."""
        return self._engine.transcribe(clips, options)

    def close(self) -> None:
        """Free the model's memory; nothing is decoded after that."""
        self._engine.model.unload_model()

    def _decode(self, jobs: Sequence[Job], windows: Sequence[AudioWindow]) -> list[Decoded]:
        padded_s = max(self.group(job).window_s for job in jobs)
        states = self._engine.encode([w.pcm for w in windows], padded_s)
        sampled = any(job.mode is DecodeMode.FALLBACK for job in jobs)
        return self._engine.decoder.decode(
            windows, states, padded_s, GREEDY, accept=self._is_sound if sampled else None
        )

    def _is_sound(self, decoded: Decoded) -> bool:
        return self._guards.check(hypothesis(decoded)) is GuardResult.SOUND

    def _checked_window(self, job: Job) -> AudioWindow | None:
        try:
            return self._window(job)
        except VoxrayError as e:
            log.warning("session %s, job %d: %s", job.session, job.number, e)
            return None

    def _window(self, job: Job) -> AudioWindow:
        """Return the window of `job`; AudioError or ModelError where it would break its batch.

        A language that the model has no token for is detected: the hypothesis names the one that was decoded.
        """
        tokens = self._engine.tokens
        if tokens.multilingual and job.task not in tokens.tasks:
            raise ModelError(f"task: expected one of {', '.join(tokens.tasks)}, got {job.task!r}.")
        previous = self._previous(job.prompt, job.hotwords)
        prefix = tuple(plain_tokens(tokens, job.prefix))
        if len(prefix) >= (room := text_room(tokens, len(previous))):
            raise ModelError(
                f"prefix: expected fewer than {room} tokens, the decoder's positions, got {len(prefix)}; "
                "decode a shorter window."
            )
        language = job.language if job.language in tokens.languages else None
        return AudioWindow(_samples(job.pcm), language, job.task, previous, prefix, job.word_times)


def hypothesis(decoded: Decoded) -> Hypothesis:
    """Return the hypothesis, with the words that were timed, else with those of the text."""
    if decoded.words is None:
        words = tuple(map(HypothesisWord, split_words(decoded.text)))
    else:
        words = tuple(HypothesisWord(w.text, w.start_s, w.end_s, w.probability) for w in decoded.words)
    return Hypothesis(
        words=words,
        language=decoded.language,
        avg_logprob=decoded.avg_logprob,
        no_speech_prob=decoded.no_speech_prob,
        compression_ratio=compression_ratio(decoded.text),
        truncated=decoded.truncated,
    )


def _samples(data: bytes) -> Pcm:
    if not data or len(data) % 2:
        raise AudioError(f"pcm: expected 16-bit samples, got {len(data)} bytes.")
    pcm: Pcm = np.frombuffer(data, dtype="<i2")
    if duration_s(pcm) > WINDOW_S:
        raise AudioError(f"pcm: expected at most {WINDOW_S:g} s, got {duration_s(pcm):.2f} s.")
    return pcm
