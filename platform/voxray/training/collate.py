"""Planned windows become tensors: joined, cut, augmented, labelled, padded, at random by a window's seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch

from voxray.audio import SAMPLE_RATE, TIMESTAMP_STEP_S, WINDOW_S, WINDOW_SAMPLES, to_float
from voxray.config import Config, Probability
from voxray.corpora.store import Clip
from voxray.errors import TrainingError
from voxray.training.augment import AugmentOptions, Floats, augment, coloured_noise, speed_perturb
from voxray.training.cuts import random_cut
from voxray.training.hotwords import hotwords
from voxray.training.plan import PlannedWindow
from voxray.transcript import Segment
from voxray.whisper.ctranslate import WINDOWS_S, window_s
from voxray.whisper.labels import IGNORED, Label, label, no_speech_label
from voxray.whisper.tokens import Tokens
from voxray.writing_systems import join_texts


class LabelOptions(Config):
    """What the decoder is taught to write."""

    renamed: ClassVar = {"smallest_window_s": "smallest_window_s outside of labels"}
    timestamp_probability: Probability = 0.5
    """How many labels have timestamps."""
    previous_text_probability: Probability = 0.2
    """How many labels begin with the text of the clip before, where that is known."""
    hotwords_probability: Probability = 0.1
    """How many labels begin with a list of words instead, some of them in the text and the others not."""


@dataclass(frozen=True, slots=True)
class Example:
    """One window: samples in [-1, 1], label, tokens of its text (for CTC), whether it is padded to 30 s."""

    samples: Floats
    label: Label
    text_ids: tuple[int, ...]
    full: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """The tensors of one step: B windows, T samples, L decoder positions, S tokens of text."""

    samples_BT: torch.Tensor
    lengths_B: torch.Tensor
    inputs_BL: torch.Tensor
    targets_BL: torch.Tensor
    text_BS: torch.Tensor
    key: str = field(default="", kw_only=True)
    """Names the same batch in the epochs that repeat it; empty where none does."""

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device`."""
        return Batch(*(t.to(device, non_blocking=True) for t in self.tensors()), key=self.key)

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Return all tensors in the order of the fields."""
        return (self.samples_BT, self.lengths_B, self.inputs_BL, self.targets_BL, self.text_BS)

    @property
    def positions(self) -> int:
        """Count the target positions that are not IGNORED."""
        return int((self.targets_BL != IGNORED).sum())

    @property
    def audio_s(self) -> float:
        """Return the seconds of audio without padding."""
        return float(self.lengths_B.sum()) / SAMPLE_RATE


def example(
    clips: Sequence[Clip],
    window: PlannedWindow,
    tokens: Tokens,
    labels: LabelOptions,
    augmentation: AugmentOptions,
    vocabulary: Sequence[str] = (),
) -> Example:
    """Return `clips` as one window with its label; `vocabulary` has words for lists before it.

    Of a window without speech, `clips` is the one that its label is like, or none.
    """
    rng = np.random.default_rng(window.seed)
    if not window.clips:
        return _silent_example(window, clips, tokens, rng)
    clips = [speed_perturb(c, window.speed) if window.speed != 1.0 else c for c in clips]
    if window.cut:
        clips = [random_cut(clips[0], rng)]
    samples, segments = joined(clips, window.pauses_s, rng)
    text = join_texts(c.text for c in clips)
    previous = _previous(clips[0], text, labels, vocabulary, rng)
    target = _label(clips[0], [s for s in segments if s.text], text, tokens, previous, labels, rng)
    return Example(
        samples=augment(samples, augmentation, rng)[:WINDOW_SAMPLES],
        label=target,
        text_ids=tuple(tokens.encode(f" {text}")) if text else (),
        full=window.full,
    )


def _previous(
    first: Clip, text: str, options: LabelOptions, vocabulary: Sequence[str], rng: np.random.Generator
) -> str:
    """Return what stands before `text` in its label: a list of words, the text before it, or nothing."""
    if vocabulary and rng.random() < options.hotwords_probability:
        return hotwords(text, vocabulary, rng)
    conditioned = first.previous and rng.random() < options.previous_text_probability
    return first.previous if conditioned else ""


def _label(
    first: Clip,
    segments: Sequence[Segment],
    text: str,
    tokens: Tokens,
    previous: str,
    options: LabelOptions,
    rng: np.random.Generator,
) -> Label:
    """Return the label of a window whose first clip is `first`.

    It has no times if it does not fit with them. If it does not fit at all, nothing of it is a target: a
    shorter text would teach the model to leave words out.
    """
    language, task = first.language or None, first.task
    timed = bool(rng.random() < options.timestamp_probability)
    if not segments:
        return no_speech_label(tokens, named=bool(rng.random() < 0.5), language=language, task=task)
    build = partial(label, tokens, language=language, task=task, previous=previous)
    target = build(segments, timestamps=True) if timed else None
    target = target or build([Segment(0.0, WINDOW_S, text)], timestamps=False)
    prompt = tuple(tokens.prompt(language, task))
    return target or Label(prompt, (IGNORED,) * len(prompt))


def _silent_example(
    window: PlannedWindow, like: Sequence[Clip], tokens: Tokens, rng: np.random.Generator
) -> Example:
    noise = coloured_noise(int(window.length_s * SAMPLE_RATE), float(rng.uniform(0, 2)), rng)
    level = 10 ** rng.uniform(-5.0, -1.0) * (rng.random() > 0.1)  # a tenth of them digital silence
    language, task = (like[0].language or None, like[0].task) if like else (None, "transcribe")
    target = no_speech_label(tokens, named=bool(rng.random() < 0.5), language=language, task=task)
    return Example((noise * np.float32(level)).clip(-1, 1), target, (), window.full)


def joined(
    clips: Sequence[Clip], pauses_s: Sequence[float], rng: np.random.Generator
) -> tuple[Floats, list[Segment]]:
    """Return the samples of `clips` with pauses of faint noise between them, and all their segments."""
    pieces: list[Floats] = []
    segments: list[Segment] = []
    at = 0
    for i, clip in enumerate(clips):
        if i:
            pause = int(pauses_s[i - 1] * SAMPLE_RATE)
            pieces.append(rng.standard_normal(pause).astype(np.float32) * np.float32(1e-4))
            at += pause
        start_s = at / SAMPLE_RATE
        segments += [Segment(start_s + s.start_s, start_s + s.end_s, s.text) for s in timed_segments(clip)]
        pieces.append(to_float(clip.pcm))
        at += len(clip.pcm)
    return np.concatenate(pieces), segments


def timed_segments(clip: Clip) -> Sequence[Segment]:
    """Return the segments of `clip`: its own, or one from its first word to its last.

    A single segment over the whole clip, as labelling without timestamps gives, gives no times.
    """
    whole = len(clip.segments) == 1 and (
        clip.segments[0].start_s <= 0 and clip.segments[0].end_s >= clip.duration_s - TIMESTAMP_STEP_S
    )
    if clip.segments and not whole:
        return clip.segments
    return [Segment(*bounds_s(clip), clip.text)]


def bounds_s(clip: Clip) -> tuple[float, float]:
    """Return where speech starts and ends in `clip`: by its words, else where its level is within 32 dB."""
    if clip.words:
        return clip.words[0].start_s, clip.words[-1].end_s
    block = SAMPLE_RATE // 50
    count = len(clip.pcm) // block
    if count == 0:
        return 0.0, clip.duration_s
    power = np.square(to_float(clip.pcm[: count * block])).reshape(count, block).mean(axis=1)
    loud = np.flatnonzero(power > power.mean() * 10**-3.2)
    return (float(loud[0]) / 50, float(loud[-1] + 1) / 50) if len(loud) else (0.0, clip.duration_s)


def collate(
    examples: Sequence[Example], pad: int, *, bucketed: bool = True, smallest_s: float = WINDOWS_S[0]
) -> Batch:
    """Pad `examples` to the longest: to a window of serving if `bucketed`, else to the next half second.

    No window is shorter than `smallest_s`, for an encoder that was not trained on shorter ones. Labels are
    padded to the longest, rounded up to a multiple of 8. `pad` is the token id of padded inputs.
    """
    if not examples:
        raise TrainingError("expected at least one example in a batch, got none.")
    longest_s = max(len(e.samples) for e in examples) / SAMPLE_RATE
    window = window_s(longest_s, smallest_s) if bucketed else max(smallest_s, math.ceil(2 * longest_s) / 2)
    if any(e.full for e in examples):
        window = WINDOW_S
    positions = -(-max(len(e.label.inputs) for e in examples) // 8) * 8
    texts = max(1, max(len(e.text_ids) for e in examples))
    samples_BT = torch.zeros(len(examples), int(window * SAMPLE_RATE))
    inputs_BL = torch.full((len(examples), positions), pad, dtype=torch.long)
    targets_BL = torch.full((len(examples), positions), IGNORED, dtype=torch.long)
    text_BS = torch.full((len(examples), texts), IGNORED, dtype=torch.long)
    for row, e in enumerate(examples):
        samples_BT[row, : len(e.samples)] = torch.from_numpy(e.samples)
        inputs_BL[row, : len(e.label.inputs)] = torch.tensor(e.label.inputs)
        targets_BL[row, : len(e.label.targets)] = torch.tensor(e.label.targets)
        text_BS[row, : len(e.text_ids)] = torch.tensor(e.text_ids, dtype=torch.long)
    lengths_B = torch.tensor([len(e.samples) for e in examples])
    return Batch(samples_BT, lengths_B, inputs_BL, targets_BL, text_BS)


def masked(batch: Batch) -> Batch:
    """Return `batch` without targets, for a rank that has no windows but must take part in the step."""
    return replace(
        batch,
        lengths_B=torch.zeros_like(batch.lengths_B),
        targets_BL=torch.full_like(batch.targets_BL, IGNORED),
        text_BS=torch.full_like(batch.text_BS, IGNORED),
    )
