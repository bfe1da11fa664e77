"""What one client plays: a recording from somewhere, round and round, with noise, cut into frames."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from tests.benchmarks.recordings import Recording, Utterance

from voxray.audio import SAMPLE_RATE, Pcm

NOISE_DBFS = -50.0  # its RMS, full scale being 1
QUIET_END_S = 2.0
EDGE_S = 0.1  # what may sound before and after an utterance's bounds


@dataclass(frozen=True, slots=True)
class Played:
    """What is sent, and the utterances that are whole in it, in seconds from its start."""

    pcm: Pcm = field(repr=False)
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """`seconds` of a recording for one client, begun `delay_s` after the common start.

    `seed` chooses where in the recording it begins, and the noise. In the last `quiet_s` nobody speaks, so
    that every final has its endpoint and none is hurried by the end of the stream.
    """

    recording: Recording
    seconds: float
    seed: int
    delay_s: float = 0.0
    noise_dbfs: float = NOISE_DBFS
    quiet_s: float = QUIET_END_S

    def played(self) -> Played:
        """The audio. An utterance that the start or the end would cut is muted."""
        rng = np.random.default_rng(self.seed)
        first = int(rng.integers(len(self.recording.pcm)))
        pcm = np.resize(np.roll(self.recording.pcm, -first), round(self.seconds * SAMPLE_RATE))
        kept: list[Utterance] = []
        for utterance, quiet_before_s, quiet_after_s in self._passing(first / SAMPLE_RATE):
            if utterance.start_s >= 0 and utterance.end_s <= self.seconds - self.quiet_s:
                kept.append(utterance)
            else:
                _mute(pcm, utterance.start_s - quiet_before_s, utterance.end_s + quiet_after_s)
        return Played(_with_noise(pcm, self.noise_dbfs, rng), tuple(kept))

    def _passing(self, offset_s: float) -> Iterator[tuple[Utterance, float, float]]:
        """The utterances that sound at all, in stream time, with what belongs to them before and after."""
        length_s, utterances = self.recording.length_s, self.recording.utterances
        ends_s = [utterances[-1].end_s - length_s, *(u.end_s for u in utterances)]
        starts_s = [*(u.start_s for u in utterances), utterances[0].start_s + length_s]
        for round_s in count(-offset_s, length_s):
            if round_s >= self.seconds:
                return
            for i, u in enumerate(utterances):
                moved = replace(u, start_s=u.start_s + round_s, end_s=u.end_s + round_s)
                if moved.end_s + EDGE_S > 0 and moved.start_s - EDGE_S < self.seconds:
                    before_s, after_s = u.start_s - ends_s[i], starts_s[i + 1] - u.end_s
                    yield moved, min(EDGE_S, before_s / 2), min(EDGE_S, after_s / 2)


def _mute(pcm: Pcm, start_s: float, end_s: float) -> None:
    pcm[max(0, round(start_s * SAMPLE_RATE)) : max(0, round(end_s * SAMPLE_RATE))] = 0


def _with_noise(pcm: Pcm, dbfs: float, rng: np.random.Generator) -> Pcm:
    """White noise with an RMS of `dbfs` added."""
    noise = rng.standard_normal(len(pcm), np.float32) * np.float32(32768 * 10 ** (dbfs / 20))
    noisy: Pcm = np.clip(np.rint(pcm + noise), -32768, 32767).astype(np.int16)
    return noisy


def frames(pcm: Pcm, frame_ms: int) -> list[bytes]:
    """`pcm` as little-endian bytes, `frame_ms` in each but the last."""
    data, size = pcm.astype("<i2").tobytes(), SAMPLE_RATE * frame_ms // 1000 * 2
    return [data[i : i + size] for i in range(0, len(data), size)]
