"""flite in this process, through its C library; word times from the segments of its utterances.

Structure layouts are those of flite 2.2: `cst_voice` (include/cst_voice.h), `cst_wave` (include/cst_wave.h).
"""

import ctypes
from typing import Any

import numpy as np
from tests.small_model.synthesis.speech import Manner, Spoken, at_16k
from tests.small_model.synthesis.trimming import words_from
from tests.small_model.synthesis.voices import Voice

from voxray.errors import MissingDependency, ModelError

_PACKAGE = "install the Debian package libflite1"
_F0_SPREAD_HZ = 11.0  # of the diphone voices; the statistical ones take none
_FIRST = b"daughter1.R:SylStructure.daughter1.daughter1.R:Segment.p.end"


class _Voice(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class Flite:
    """The flite library; its voices are loaded when first spoken."""

    def __init__(self) -> None:
        self._library = _typed(_load("libflite.so.1"))
        for name in ("libflite_usenglish.so.1", "libflite_cmulex.so.1"):
            _load(name)
        self._library.flite_init()
        self._voices: dict[str, Any] = {}

    def speak(self, text: str, voice: Voice, manner: Manner) -> Spoken:
        """`text` in `voice`, with word times where flite's tokens are the text's."""
        self._prepare(voice.name, manner)
        utterance = self._library.flite_synth_text(text.encode(), self._voice(voice.name))
        try:
            wave = self._library.utt_wave(utterance).contents
            samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy()
            starts_s = self._token_starts(utterance)
            pcm = at_16k(samples, wave.sample_rate)
        finally:
            self._library.delete_utterance(utterance)
        return Spoken(pcm, words_from(pcm, text, starts_s))

    def close(self) -> None:
        """Nothing to end: the library stays loaded."""

    def _voice(self, name: str) -> Any:
        if name not in self._voices:
            library = _load(f"libflite_cmu_us_{name}.so.1")
            register = getattr(library, f"register_cmu_us_{name}")
            register.restype = ctypes.POINTER(_Voice)
            self._voices[name] = register(None)
        return self._voices[name]

    def _prepare(self, name: str, manner: Manner) -> None:
        features = self._voice(name).contents.features
        for key, value in (
            (b"duration_stretch", 1.0 / manner.speed),
            (b"f0_shift", manner.pitch),
            (b"int_f0_target_stddev", _F0_SPREAD_HZ * manner.liveliness),
        ):
            self._library.feat_set_float(features, key, value)

    def _token_starts(self, utterance: int) -> list[float]:
        library = self._library
        token = library.relation_head(library.utt_relation(utterance, b"Token"))
        starts_s = []
        while token:
            starts_s.append(float(library.ffeature_float(token, _FIRST)))
            token = library.item_next(token)
        return starts_s


def _load(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError as e:
        if name.startswith("libflite_cmu_us_"):
            raise ModelError(f"flite: expected the voice in {name}, got none; install it.") from e
        raise MissingDependency(f"flite: expected the library {name}, got none; {_PACKAGE}.") from e


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("flite_synth_text", pointer, [text, pointer]),
        ("utt_wave", ctypes.POINTER(_Wave), [pointer]),
        ("utt_relation", pointer, [pointer, text]),
        ("relation_head", pointer, [pointer]),
        ("item_next", pointer, [pointer]),
        ("ffeature_float", ctypes.c_float, [pointer, text]),
        ("feat_set_float", None, [pointer, text, ctypes.c_float]),
        ("delete_utterance", None, [pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
