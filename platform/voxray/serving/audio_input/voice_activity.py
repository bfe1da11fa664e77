"""Speech probabilities of audio, one for each frame of 32 ms.

Silero's model, as faster-whisper carries it, under onnxruntime with one thread. Its graph takes the state of
one session and any number of that session's frames: 87 us for one frame and 140 us for two, of which the
arithmetic is 54 us each (one thread of a shared 2-core machine, onnxruntime 1.31). A batch over sessions
could save no more than the rest, so that each session has a detector of its own.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from voxray.audio import Pcm
from voxray.errors import MissingDependency
from voxray.streaming.events import FRAME

CONTEXT = 64  # samples before a frame that the model is given as well
_STATE = (1, 1, 128)  # shape of each of the LSTM's two states

Floats = np.ndarray[Any, np.dtype[np.float32]]


class VoiceActivityDetector(Protocol):
    """Speech probabilities of one session."""

    def probabilities(self, pcm: Pcm) -> list[float]:
        """Return the speech probability of each frame (512 samples) that is complete with `pcm`, in order.

        Samples that do not fill a frame are kept for the next call: the result does not depend on how the
        audio is cut.
        """
        ...


class SileroModel:
    """Silero's voice activity model, loaded once for all sessions of a process. One thread at a time."""

    def __init__(self) -> None:
        import onnxruntime  # here: sessions are tested without it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(_file(), options, providers=["CPUExecutionProvider"])

    def detector(self) -> "SileroDetector":
        """Return a detector for a new session."""
        return SileroDetector(self)

    def run(self, frames: Floats, h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the probabilities of `frames`, (frames, CONTEXT + FRAME), and the LSTM's new states."""
        speech, h, c = self._session.run(None, {"input": frames, "h": h, "c": c})
        return speech, h, c


class SileroDetector:
    """A `VoiceActivityDetector`: the state of one session in Silero's model."""

    def __init__(self, model: SileroModel) -> None:
        self._model = model
        self._rest: Pcm = np.empty(0, dtype=np.int16)  # less than a frame
        self._context = np.zeros(CONTEXT, dtype=np.float32)
        self._h = self._c = np.zeros(_STATE, dtype=np.float32)

    def probabilities(self, pcm: Pcm) -> list[float]:
        """See `VoiceActivityDetector`."""
        frames = self._frames(pcm)
        if not len(frames):
            return []
        speech, self._h, self._c = self._model.run(frames, self._h, self._c)
        probabilities: list[float] = speech.tolist()
        return probabilities

    def _frames(self, pcm: Pcm) -> Floats:
        """Return the frames that are complete with `pcm`, each after its context: (n, CONTEXT + FRAME)."""
        samples = np.concatenate([self._rest, pcm])
        count = len(samples) // FRAME
        self._rest = samples[count * FRAME :].copy()
        frames = np.empty((count, CONTEXT + FRAME), dtype=np.float32)
        frames[:, CONTEXT:] = samples[: count * FRAME].reshape(count, FRAME)
        frames[:, CONTEXT:] /= 32768.0
        if count:
            frames[0, :CONTEXT] = self._context
            frames[1:, :CONTEXT] = frames[:-1, -CONTEXT:]
            self._context = frames[-1, -CONTEXT:].copy()
        return frames


def _file() -> Path:
    """Find the model's file without importing faster-whisper, which would load its decoder too."""
    spec = find_spec("faster_whisper")
    if spec is None or spec.origin is None:
        raise MissingDependency(
            "faster-whisper: expected to be installed, for its voice activity model; pip install it."
        )
    return Path(spec.origin).parent / "assets" / "silero_vad_v6.onnx"
