"""A job made ready for the decoder: its samples, and the tokens before and after the start token.

    <|startofprev|> hotwords prompt <|startoftranscript|> <|language|> <|task|> <|notimestamps|> prefix ...

All of them share the decoder's 448 positions.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from voxray.audio import WINDOW_S, Pcm, duration_s
from voxray.errors import AudioError, ModelError
from voxray.serving.protocol import Job
from voxray.whisper.tokens import MAX_LABEL_TOKENS, Tokens

MAX_PREVIOUS = (
    223  # of prompt and hotwords, as in openai/whisper: half of the positions, less <|startofprev|>
)
CLOSING_TOKENS = 2  # alignment adds <|notimestamps|> and <|endoftext|>

_INSIDE_NAME = re.compile(r"(?<=<)(?=\|)")


@dataclass(frozen=True, slots=True)
class Window:
    """What a job says, in samples and token ids."""

    job: Job
    pcm: Pcm
    previous: tuple[int, ...]
    prefix: tuple[int, ...]


def plain_tokens(tokens: Tokens, text: str) -> list[int]:
    """The tokens of `text`, in which names such as <|en|> are letters like any other.

    Clients write these texts: a special token among them would break the batch that they are in.
    """
    spelled = text.encode(errors="replace").decode()  # JSON can carry half a surrogate pair
    return [i for piece in _INSIDE_NAME.split(spelled) for i in tokens.encode(piece)]


class Windows:
    """Makes windows for one model's vocabulary."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self.task_tokens = len(tokens.prompt())
        # A session says the same with each of its jobs.
        self.previous: Callable[[str, str], tuple[int, ...]] = lru_cache(maxsize=1024)(self._previous)

    def room(self, previous: int) -> int:
        """How many tokens of text fit after so many previous ones."""
        return MAX_LABEL_TOKENS - CLOSING_TOKENS - previous - self.task_tokens

    def window(self, job: Job) -> Window:
        """AudioError or ModelError where `job` cannot be decoded, and would break its batch."""
        self._check_task(job.task)
        previous = self.previous(job.prompt, job.hotwords)
        prefix = plain_tokens(self._tokens, job.prefix)
        if len(prefix) >= self.room(len(previous)):
            raise ModelError(
                f"prefix: expected fewer than {self.room(len(previous))} tokens, the decoder's positions, "
                f"and {len(prefix)} came; decode a shorter window."
            )
        return Window(job, _samples(job.pcm), previous, tuple(prefix))

    def _previous(self, prompt: str, hotwords: str) -> tuple[int, ...]:
        texts = [" " + t for text in (hotwords, prompt) if (t := text.strip())]
        ids = [i for text in texts for i in plain_tokens(self._tokens, text)]
        return (self._tokens.previous, *ids[-MAX_PREVIOUS:]) if ids else ()

    def _check_task(self, task: str) -> None:
        if self._tokens.multilingual and task not in self._tokens.tasks:
            raise ModelError(f"task {task!r}: expected one of {', '.join(self._tokens.tasks)}.")


def _samples(data: bytes) -> Pcm:
    if not data or len(data) % 2:
        raise AudioError(f"pcm: expected 16-bit samples, and {len(data)} bytes came.")
    pcm: Pcm = np.frombuffer(data, dtype="<i2")
    if duration_s(pcm) > WINDOW_S:
        raise AudioError(f"pcm: expected at most {WINDOW_S:g} s, and {duration_s(pcm):.2f} s came.")
    return pcm
