"""A voice and a transcriber that hear what is written in the audio: for tests and load tests, no model.

Word `i` of a script is a run of samples that are all `i + 1`; silence is 0. It holds for 16 kHz mono s16le,
which reaches a session as it was sent.
"""

from collections.abc import Sequence

import numpy as np

from voxray.serving.audio_input.voice_activity import Track
from voxray.serving.protocol import Answer, Job
from voxray.streaming.audio_buffer import Pcm
from voxray.streaming.events import FRAME, DecodeRequest, Hypothesis
from voxray.streaming.scripted import SILENCE, SPEECH, Script, ScriptedEngine


def spoken(script: Script) -> Pcm:
    """The script's audio, of at most 32,767 words."""
    pcm = np.zeros(script.length, dtype=np.int16)
    for number, word in enumerate(script.words, start=1):
        pcm[word.start : word.end] = number
    return pcm


class ScriptedTrack(Track):
    """Samples that do not fill a frame yet."""

    def __init__(self) -> None:
        self.rest: Pcm = np.empty(0, dtype=np.int16)


class ScriptedVoice:
    """A `VoiceActivityDetector` that hears speech in every frame that a word touches."""

    def track(self) -> Track:
        """See `VoiceActivityDetector`."""
        return ScriptedTrack()

    def probabilities(self, heard: Sequence[tuple[Track, Pcm]]) -> list[list[float]]:
        """See `VoiceActivityDetector`."""
        return [self._probabilities(track, pcm) for track, pcm in heard]

    def _probabilities(self, track: Track, pcm: Pcm) -> list[float]:
        assert isinstance(track, ScriptedTrack)
        samples = np.concatenate([track.rest, pcm])
        count = len(samples) // FRAME
        track.rest = samples[count * FRAME :]
        frames = samples[: count * FRAME].reshape(count, FRAME)
        return [SPEECH if frame.any() else SILENCE for frame in frames]


class ScriptedEar:
    """Answers jobs with the words of a script that lie wholly in their windows."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._engine = ScriptedEngine(script)

    def __call__(self, job: Job) -> Answer:
        """The answer to `job`."""
        pcm = np.frombuffer(job.pcm, "<i2")
        start = self._start(pcm)
        if start is None:
            silence = Hypothesis((), avg_logprob=-0.1, no_speech_prob=0.9, compression_ratio=1.0)
            return Answer(job.session, job.number, silence)
        request = DecodeRequest(
            id=job.number,
            segment=0,
            start=start,
            end=start + len(pcm),
            prefix=job.prefix,
            mode=job.mode,
            word_times=job.word_times,
            language=job.language,
            asked_s=0.0,
            deadline_s=0.0,
        )
        return Answer(job.session, job.number, self._engine(request))

    def _start(self, pcm: Pcm) -> int | None:
        """Where the window begins in the script; None where no word begins or ends in it."""
        (loud,) = np.nonzero(pcm)
        if not len(loud):
            return None
        first = int(loud[0])
        word = self._script.words[int(pcm[first]) - 1]
        if first:
            return word.start - first
        (others,) = np.nonzero(pcm != pcm[0])
        return word.end - int(others[0]) if len(others) else None
