"""festival as one child process that is told Scheme over a pipe: starting it takes most of a second.

For each utterance it writes a wave file and prints a line per token with its start.
"""

import math
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from tests.small_model.synthesis.speech import Manner, Spoken, at_16k
from tests.small_model.synthesis.trimming import words_from
from tests.small_model.synthesis.voices import Voice

from voxray.audio import SAMPLE_RATE, decode
from voxray.errors import MissingDependency, ModelError

_SCRIPT = """
(define (voxray-say text file)
  (let ((utt (eval (list 'Utterance 'Text text))))
    (utt.synth utt)
    (utt.save.wave utt file 'riff)
    (let ((tok (utt.relation.first utt 'Token)))
      (while tok
        (format t "token %f\\n"
          (item.feat tok "daughter1.R:SylStructure.daughter1.daughter1.R:Segment.segment_start"))
        (set! tok (item.next tok))))
    (format t "voxray-done\\n")
    (fflush nil)))
"""
_DONE = "voxray-done"
_PACKAGES = {
    "kal_diphone": "festvox-kallpc16k",
    "ked_diphone": "festvox-kdlpc16k",
    "cmu_us_slt_arctic_hts": "festvox-us-slt-hts",
}
_F0_HZ = 105.0  # mean and spread of the diphone voices
_F0_SPREAD_HZ = 14.0


class Festival:
    """One festival process, ended by `close`."""

    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(
                ["festival", "--pipe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except OSError as e:
            raise MissingDependency(
                "festival: expected the program festival, and it is not there;"
                " install the Debian package festival."
            ) from e
        self._folder = tempfile.TemporaryDirectory(prefix="voxray-festival-")
        self._voice = ""
        self._tell(_SCRIPT)

    def speak(self, text: str, voice: Voice, manner: Manner) -> Spoken:
        """`text` in `voice`, with word times where festival's tokens are the text's."""
        if voice.name != self._voice:
            self._choose(voice.name)
        self._tell(_settings(voice.name, manner))
        wave = Path(self._folder.name) / "utterance.wav"
        self._tell(f'(voxray-say "{_quoted(text)}" "{wave}")')
        warp = _warp(voice.name, manner)
        tokens = [line for line in self._answer() if line.startswith("token ")]
        pcm = at_16k(decode(wave), SAMPLE_RATE * warp)
        return Spoken(pcm, words_from(pcm, text, [float(line.split()[1]) / warp for line in tokens]))

    def close(self) -> None:
        """End the process and remove its files."""
        self._input.close()
        self._output.close()
        self._process.wait(timeout=10)
        self._folder.cleanup()

    @property
    def _input(self) -> IO[str]:
        assert self._process.stdin is not None  # opened as a pipe
        return self._process.stdin

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None  # opened as a pipe
        return self._process.stdout

    def _choose(self, name: str) -> None:
        self._tell(f"(voice_{name})")
        self._tell(f'(begin (format t "%s\\n" current-voice) (format t "{_DONE}\\n") (fflush nil))')
        if name not in self._answer():
            package = _PACKAGES.get(name, "that has it")
            raise MissingDependency(
                f"festival: expected the voice {name}, and it is not there;"
                f" install the Debian package {package}."
            )
        self._voice = name

    def _tell(self, scheme: str) -> None:
        self._input.write(scheme + "\n")
        self._input.flush()

    def _answer(self) -> list[str]:
        lines: list[str] = []
        for line in self._output:
            if line.strip() == _DONE:
                return lines
            lines.append(line.strip())
        raise ModelError(f"festival: expected speech, and the process ended: {' '.join(lines[-3:])}")


def _warp(name: str, manner: Manner) -> float:
    """The factor by which speech is replayed faster: HTS voices have no other means to speak higher."""
    return math.sqrt(manner.pitch) if name.endswith("_hts") else 1.0


def _settings(name: str, manner: Manner) -> str:
    if name.endswith("_hts"):
        speed = manner.speed / _warp(name, manner)
        return (
            "(set! hts_engine_params (append cmu_us_slt_arctic_hts::hts_engine_params"
            f' \'(("-r" {speed:.3f}))))'
        )
    return (
        f"(Parameter.set 'Duration_Stretch {1 / manner.speed:.3f})"
        f" (set! int_lr_params '((target_f0_mean {_F0_HZ * manner.pitch:.1f})"
        f" (target_f0_std {_F0_SPREAD_HZ * manner.liveliness:.1f})"
        " (model_f0_mean 170) (model_f0_std 34)))"
    )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
