"""espeak-ng in this process, through its C library: fast, and it tells where words begin.

Constants and layouts are those of `espeak-ng/speak_lib.h` (version 1.51).
"""

import ctypes
from dataclasses import dataclass, field

import numpy as np
from tests.small_model.synthesis.speech import Manner, Spoken, at_16k
from tests.small_model.synthesis.trimming import words_from
from tests.small_model.synthesis.voices import Voice

from voxray.audio import SAMPLE_RATE
from voxray.errors import MissingDependency, ModelError

_LIBRARY = "libespeak-ng.so.1"
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7  # espeak_PARAMETER
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_EVENT_END, _EVENT_WORD = 0, 1  # espeakEVENT_LIST_TERMINATED, espeakEVENT_WORD

_NORMAL_RATE = 168.0  # words per minute
_NORMAL_PITCH = 50.0  # of 0..99
_NORMAL_RANGE = 50.0  # of 0..99
_GAP_S = 0.01  # unit of the pauses between words
_HALF_VOLUME = 50  # of 100, where several variants clip


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True)
class WordEvent:
    """espeak's word: where it begins in the text (characters from 0) and in the audio (seconds)."""

    position: int
    start_s: float


@dataclass
class _Take:
    """What the callback gathers of one utterance."""

    blocks: list[bytes] = field(default_factory=list)
    events: list[WordEvent] = field(default_factory=list)


class Espeak:
    """The espeak-ng library. One per process is enough: its state is global."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as e:
            raise MissingDependency(
                f"espeak-ng: expected the library {_LIBRARY}, got none;"
                " install the Debian package libespeak-ng1."
            ) from e
        self._rate: int = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, None, 0)
        if self._rate <= 0:
            raise MissingDependency(
                "espeak-ng: expected its voice data, got none with which it starts; install espeak-ng-data."
            )
        self._take = _Take()
        self._callback = _Callback(self._receive)  # kept: C holds a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: Voice, manner: Manner) -> Spoken:
        """`text` in `voice`, with word times where espeak's words are the text's."""
        self._prepare(voice, manner)
        self._take = _Take()
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        pcm = at_16k(np.frombuffer(b"".join(self._take.blocks), dtype=np.int16), self._rate)
        starts_s = word_starts(text, self._take.events, len(pcm) / SAMPLE_RATE)
        return Spoken(pcm, words_from(pcm, text, starts_s))

    def close(self) -> None:
        """Nothing to end: the library stays loaded."""

    def _prepare(self, voice: Voice, manner: Manner) -> None:
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise ModelError(f"espeak-ng: expected the voice {voice.name}, got none; install it.")
        for parameter, value in (
            (_VOLUME, _HALF_VOLUME),
            (_RATE, _NORMAL_RATE * manner.speed),
            (_PITCH, min(_NORMAL_PITCH * manner.pitch**1.5, 80)),
            (_RANGE, _NORMAL_RANGE * manner.liveliness),
            (_WORD_GAP, manner.gap_s / _GAP_S),
        ):
            self._library.espeak_SetParameter(parameter, round(value), 0)

    def _receive(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        if samples and count > 0:
            self._take.blocks.append(ctypes.string_at(samples, count * 2))
        i = 0
        while events[i].type != _EVENT_END:
            if events[i].type == _EVENT_WORD:
                event = WordEvent(events[i].text_position - 1, events[i].audio_position / 1000)
                self._take.events.append(event)
            i += 1
        return 0


def word_starts(text: str, events: list[WordEvent], length_s: float) -> list[float]:
    """The start of each token of `text` in seconds; empty where espeak's words do not fit the tokens.

    espeak speaks a hyphenated token, or an abbreviation, as several words: the first one's start counts.
    It speaks pairs such as "in the" as one: the second then starts after its share of the pair's letters.
    """
    tokens = text.split()
    firsts: dict[int, float] = {len(tokens): length_s}
    for event in events:
        firsts.setdefault(len(text[: event.position + 1].split()) - 1, event.start_s)
    starts_s = [_start_s(i, tokens, firsts) for i in range(len(tokens))]
    return [] if -1.0 in starts_s else starts_s


def _start_s(i: int, tokens: list[str], firsts: dict[int, float]) -> float:
    """-1 where neither the token itself nor both of its neighbours have a time."""
    if i in firsts:
        return firsts[i]
    if i - 1 not in firsts or i + 1 not in firsts:
        return -1.0
    share = len(tokens[i - 1]) / (len(tokens[i - 1]) + len(tokens[i]))
    return firsts[i - 1] + share * (firsts[i + 1] - firsts[i - 1])
