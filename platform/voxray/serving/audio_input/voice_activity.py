"""Whether somebody speaks, 32 ms by 32 ms, for many sessions in one process.

Silero's model as faster-whisper carries it, under onnxruntime with one thread. Its graph takes the state of
one session, with any number of that session's frames, so that sessions are run one after another: 87 us for
one frame and 140 us for two, of which the arithmetic is 54 us each (one thread of a shared 2-core machine,
onnxruntime 1.31). A batch over sessions could save no more than the rest.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from voxray.errors import MissingDependency
from voxray.streaming.audio_buffer import Pcm
from voxray.streaming.events import FRAME

CONTEXT = 64  # samples before a frame that the model looks at
_STATE = (1, 1, 128)  # shape of each of the LSTM's two states


class Track:
    """What a voice keeps of one session between two calls; only the voice that made it looks inside."""


class VoiceActivityDetector(Protocol):
    """Speech probabilities of many sessions."""

    def track(self) -> Track:
        """A session from its start."""
        ...

    def probabilities(self, heard: Sequence[tuple[Track, Pcm]]) -> list[list[float]]:
        """For each session and its next samples, one probability for each frame (512) that is complete now.

        What is less than a frame waits for the samples to come: how they are cut changes nothing.
        """
        ...


class SileroTrack(Track):
    """A session's state in Silero's model."""

    def __init__(self) -> None:
        self.rest: Pcm = np.empty(0, dtype=np.int16)  # less than a frame
        self.context = np.zeros(CONTEXT, dtype=np.float32)
        self.h = np.zeros(_STATE, dtype=np.float32)
        self.c = np.zeros(_STATE, dtype=np.float32)

    def cut(self, pcm: Pcm) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The frames that are complete with `pcm`, each after its context: (frames, CONTEXT + FRAME)."""
        samples = np.concatenate([self.rest, pcm])
        count = len(samples) // FRAME
        self.rest = samples[count * FRAME :].copy()
        frames = np.empty((count, CONTEXT + FRAME), dtype=np.float32)
        frames[:, CONTEXT:] = samples[: count * FRAME].reshape(count, FRAME)
        frames[:, CONTEXT:] /= 32768.0
        if count:
            frames[0, :CONTEXT] = self.context
            frames[1:, :CONTEXT] = frames[:-1, -CONTEXT:]
            self.context = frames[-1, -CONTEXT:].copy()
        return frames


class SileroDetector:
    """Silero's voice activity model; a `VoiceActivityDetector`. One thread at a time."""

    def __init__(self) -> None:
        import onnxruntime  # here: tests of the layers above run with a scripted voice

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._model = onnxruntime.InferenceSession(_model(), options, providers=["CPUExecutionProvider"])

    def track(self) -> SileroTrack:
        """See `VoiceActivityDetector`."""
        return SileroTrack()

    def probabilities(self, heard: Sequence[tuple[Track, Pcm]]) -> list[list[float]]:
        """See `VoiceActivityDetector`; TypeError for another voice's track."""
        return [self._probabilities(track, pcm) for track, pcm in heard]

    def _probabilities(self, track: Track, pcm: Pcm) -> list[float]:
        if not isinstance(track, SileroTrack):
            raise TypeError(f"expected a track of this voice, and a {type(track).__name__} came.")
        frames = track.cut(pcm)
        if not len(frames):
            return []
        speech, track.h, track.c = self._model.run(None, {"input": frames, "h": track.h, "c": track.c})
        probabilities: list[float] = speech.tolist()
        return probabilities


def _model() -> Path:
    """The model's file; found without importing faster-whisper, which would bring its decoder along."""
    spec = find_spec("faster_whisper")
    if spec is None or spec.origin is None:
        raise MissingDependency("faster-whisper: expected to be installed, for its voice activity model.")
    return Path(spec.origin).parent / "assets" / "silero_vad_v6.onnx"
