"""From planned windows to tensors: joined, cut, changed, labelled, padded; chance only by a window's seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from voxray.audio import SAMPLE_RATE, WINDOW_S, WINDOW_SAMPLES, to_float
from voxray.config import Config
from voxray.corpora.store import Clip
from voxray.errors import TrainingError
from voxray.training.augment import AugmentOptions, Floats, changed, coloured_noise, with_speed
from voxray.training.cuts import random_cut
from voxray.training.plan import Window
from voxray.transcript import Segment
from voxray.whisper.ctranslate import WINDOWS_S, window_s
from voxray.whisper.labels import IGNORED, Label, label, no_speech_label
from voxray.whisper.tokens import Tokens


class LabelOptions(Config):
    """What the decoder is taught (training.md, 5)."""

    timestamp_probability: float = 0.5
    smallest_window_s: float = 2.0  # 30: every window is padded in full, as stock Whisper hears it


@dataclass(frozen=True, slots=True)
class Example:
    """One window: samples in [-1, 1), label, its text's tokens (for CTC), whether it is padded to 30 s."""

    samples: Floats
    label: Label
    text_ids: tuple[int, ...]
    full: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one step. B windows, T samples, L decoder positions, S tokens of text."""

    samples_BT: torch.Tensor
    lengths_B: torch.Tensor
    inputs_BL: torch.Tensor
    targets_BL: torch.Tensor
    text_BS: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`."""
        return Batch(*(t.to(device, non_blocking=True) for t in self.tensors()))

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All tensors in the order of the fields."""
        return (self.samples_BT, self.lengths_B, self.inputs_BL, self.targets_BL, self.text_BS)

    @property
    def positions(self) -> int:
        """Target positions that count."""
        return int((self.targets_BL != IGNORED).sum())

    @property
    def audio_s(self) -> float:
        """Seconds of audio without padding."""
        return float(self.lengths_B.sum()) / SAMPLE_RATE


def example(
    clips: Sequence[Clip], window: Window, tokens: Tokens, labels: LabelOptions, augment: AugmentOptions
) -> Example:
    """`clips` as one window with its label."""
    rng = np.random.default_rng(window.seed)
    if not window.clips:
        return _silent_example(window, tokens, rng)
    clips = [with_speed(c, window.speed) if window.speed != 1.0 else c for c in clips]
    if window.cut:
        clips = [random_cut(clips[0], rng)]
    samples, segments = joined(clips, window.pauses_s, rng)
    timed = bool(rng.random() < labels.timestamp_probability)
    spoken = [s for s in segments if s.text]
    language = clips[0].language or None
    if spoken:
        made = _spoken_label(tokens, spoken, language, timed)
    else:
        made = no_speech_label(tokens, named=bool(rng.random() < 0.5), language=language)
    text = " ".join(s.text for s in spoken)
    return Example(
        samples=changed(samples, augment, rng)[:WINDOW_SAMPLES],
        label=made,
        text_ids=tuple(tokens.encode(f" {text}")) if text else (),
        full=window.full,
    )


def _spoken_label(tokens: Tokens, spoken: Sequence[Segment], language: str | None, timed: bool) -> Label:
    """The label of `spoken`: without times where it does not fit with them, and of nothing that is learned
    where it does not fit at all, since a shorter one would teach to leave words out.
    """
    made = label(tokens, spoken, language=language, timestamps=timed)
    made = made or label(tokens, spoken, language=language, timestamps=False)
    head = tuple(tokens.prompt(language))
    return made or Label(head, (IGNORED,) * len(head))


def _silent_example(window: Window, tokens: Tokens, rng: np.random.Generator) -> Example:
    noise = coloured_noise(int(window.length_s * SAMPLE_RATE), float(rng.uniform(0, 2)), rng)
    level = 10 ** rng.uniform(-5.0, -1.0) * (rng.random() > 0.1)  # a tenth of them digital silence
    named = bool(rng.random() < 0.5)
    return Example(
        (noise * np.float32(level)).clip(-1, 1), no_speech_label(tokens, named=named), (), window.full
    )


def joined(
    clips: Sequence[Clip], pauses_s: Sequence[float], rng: np.random.Generator
) -> tuple[Floats, list[Segment]]:
    """Samples of `clips` with pauses of faint noise between them, and a segment for each."""
    pieces: list[Floats] = []
    segments: list[Segment] = []
    at = 0
    for i, clip in enumerate(clips):
        if i:
            pause = int(pauses_s[i - 1] * SAMPLE_RATE)
            pieces.append(rng.standard_normal(pause).astype(np.float32) * np.float32(1e-4))
            at += pause
        start_s, end_s = bounds_s(clip)
        segments.append(Segment(at / SAMPLE_RATE + start_s, at / SAMPLE_RATE + end_s, clip.text))
        pieces.append(to_float(clip.pcm))
        at += len(clip.pcm)
    return np.concatenate(pieces), segments


def bounds_s(clip: Clip) -> tuple[float, float]:
    """Where the speech of `clip` starts and ends: its words' times, else where its level is within 32 dB."""
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
    """Pad to the longest: to the window that serving would take if `bucketed`, else to the next half second.

    No window is shorter than `smallest_s`, for an encoder that has not passed shorter ones. Labels are padded
    to the longest, rounded up to 8. `pad` is the id that stands in padded inputs.
    """
    if not examples:
        raise TrainingError("expected at least one example in a batch, and there is none.")
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
    """`batch` with nothing in it that counts: what a rank without windows of its own computes along."""
    return replace(
        batch,
        lengths_B=torch.zeros_like(batch.lengths_B),
        targets_BL=torch.full_like(batch.targets_BL, IGNORED),
        text_BS=torch.full_like(batch.text_BS, IGNORED),
    )
