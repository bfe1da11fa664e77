"""Speculative decoding: a student drafts tokens, and its teacher verifies them, one clip at a time.

Greedily, the teacher writes what it would write by itself (Leviathan et al., arXiv 2211.17192). Decoding is
that of transformers with its `assistant_model`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

from voxray.audio import WINDOW_SAMPLES, Pcm, to_float
from voxray.corpora.store import Clip
from voxray.scoring.suites import Clock
from voxray.whisper.features import log_mel


@dataclass(frozen=True, slots=True)
class SpeculativeScore:
    """Clips decoded by a teacher alone, and with a student that `drafted` tokens, of which it `accepted`."""

    clips: int = 0
    same_texts: int = 0
    alone_s: float = 0.0
    assisted_s: float = 0.0
    drafted: int = 0
    accepted: int = 0

    def __add__(self, other: "SpeculativeScore") -> "SpeculativeScore":
        return SpeculativeScore(
            self.clips + other.clips,
            self.same_texts + other.same_texts,
            self.alone_s + other.alone_s,
            self.assisted_s + other.assisted_s,
            self.drafted + other.drafted,
            self.accepted + other.accepted,
        )

    @property
    def speed_up(self) -> float:
        """How many times as fast the teacher is with the student."""
        return self.alone_s / self.assisted_s if self.assisted_s else 0.0

    @property
    def acceptance(self) -> float:
        """The share of the drafted tokens that the teacher accepted."""
        return self.accepted / self.drafted if self.drafted else 0.0


def speculate(
    teacher: Any, student: Any, clips: Sequence[Clip], clock: Clock = time.perf_counter
) -> SpeculativeScore:
    """Decode `clips` on windows of 30 s with two loaded transformers models that share a vocabulary.

    The first clip is decoded once before, to warm up.
    """
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its own calls of the student warn each time
    scores = [speculate_clip(teacher, student, clip, clock) for clip in [*clips[:1], *clips]]
    return sum(scores[1:], SpeculativeScore())


@torch.inference_mode()
def speculate_clip(
    teacher: Any, student: Any, clip: Clip, clock: Clock = time.perf_counter
) -> SpeculativeScore:
    """Decode one clip with and without the student. The generation config of both is changed for it."""
    features = _features(clip.pcm, teacher)
    _name_language(teacher, clip)
    _name_language(student, clip)
    start_s = clock()
    with _decoder_calls(teacher) as alone:
        expected = _generate(teacher, features)
    middle_s = clock()
    with _decoder_calls(teacher) as verified:
        ids = _generate(teacher, features, assistant_model=student)
    end_s = clock()
    drafted, accepted = drafts(verified, ids, len(alone[0]))
    return SpeculativeScore(
        clips=1,
        same_texts=int(ids == expected),
        alone_s=middle_s - start_s,
        assisted_s=end_s - middle_s,
        drafted=drafted,
        accepted=accepted,
    )


def drafts(calls: Sequence[Sequence[int]], ids: Sequence[int], prompt: int) -> tuple[int, int]:
    """Return how many tokens were drafted and how many of these were accepted.

    `calls` are the tokens that the teacher was given each time: the last one written, or at first the prompt
    of `prompt` tokens, and those drafted to follow. `ids` are the prompt and all that was written. After the
    accepted tokens the teacher writes one of its own.
    """
    drafted = accepted = 0
    at, before = prompt, prompt
    for given in calls:
        proposed = given[before:]
        pairs = zip(proposed, ids[at:], strict=False)
        right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        drafted, accepted = drafted + len(proposed), accepted + right
        at, before = at + right + 1, 1
    return drafted, accepted


@contextmanager
def _decoder_calls(model: Any) -> Iterator[list[list[int]]]:
    """Collect the tokens that the decoder of `model` is given in each call."""
    calls: list[list[int]] = []

    def note(module: Any, args: Any, kwargs: Any) -> None:
        calls.append(kwargs["input_ids"][0].tolist())

    handle = model.get_decoder().register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def _name_language(model: Any, clip: Clip) -> None:
    """Name the language of `clip` to transformers, which would detect it in each call.

    In an English-only model with a table of languages, even an empty one, it would write a token for it.
    """
    config = model.generation_config
    if getattr(config, "is_multilingual", False):
        config.language, config.task = clip.language, clip.task
    elif hasattr(config, "lang_to_id"):
        del config.lang_to_id


def _generate(teacher: Any, features: torch.Tensor, **options: Any) -> list[int]:
    """Return prompt and text, decoded greedily; both ways without the tokens that may not begin a text."""
    config = deepcopy(teacher.generation_config)
    config.num_beams = 1
    config.begin_suppress_tokens = None  # as transformers does with an assistant
    ids = teacher.generate(features, generation_config=config, force_unique_generate_call=True, **options)
    found: list[int] = ids[0].tolist()
    return found


def _features(pcm: Pcm, model: Any) -> torch.Tensor:
    samples = np.zeros((1, WINDOW_SAMPLES), dtype=np.float32)
    samples[0, : len(pcm)] = to_float(pcm)
    mel = log_mel(torch.from_numpy(samples).to(model.device), model.config.num_mel_bins)
    return mel.to(model.dtype)
