"""The voices: those that train, and those that are held out for scoring and never train."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

EngineName = Literal["espeak-ng", "flite", "festival"]

ENGINE_SHARES: dict[EngineName, float] = {"espeak-ng": 0.65, "flite": 0.20, "festival": 0.15}
"""How often each engine speaks; within an engine every voice is as likely as the others."""

_ACCENTS = tuple("en-us en en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd en-029 en-us-nyc".split())
# Left out: whisper, whisperf, croak, Demonic, fast, announcer, klatt6, Storm and the joke voices.
_VARIANTS = tuple(
    """m1 m2 m3 m4 m5 m6 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 adam Alex Alicia Andy Annie antonio
    aunty belinda benjamin boris caleb david Denis Diogo ed edward edward2 Gene Gene2 grandma grandpa Henrique
    Hugo iven iven2 iven3 iven4 Jacky john Lee linda marcelo Marco Mario max Michael michel miguel mike pablo
    paul pedro quincy rob robert sandro shelby steph steph2 steph3 victor zac anika norbert""".split()
)
HELD_OUT_VARIANTS = ("Andrea", "m7", "Nguyen", "travis")


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of an engine; `name` is what the engine calls it ("en-us+f2", "slt", "kal_diphone")."""

    engine: EngineName
    name: str

    @property
    def id(self) -> str:
        """A name fit for files and columns: letters, digits and hyphens."""
        return f"{self.engine.replace('-ng', '')}-{self.name}".replace("+", "-").replace("_", "-").lower()

    @property
    def speaker(self) -> str:
        """Who speaks, whatever the accent: espeak-ng's variant, or the name; in lower case."""
        return self.name.rpartition("+")[2].lower()


def _espeak(accents: Sequence[str], variants: Sequence[str]) -> tuple[Voice, ...]:
    return tuple(Voice("espeak-ng", f"{a}+{v}") for v in variants for a in accents)


KNOWN: tuple[Voice, ...] = (
    *(Voice("espeak-ng", accent) for accent in _ACCENTS),
    *_espeak(_ACCENTS, _VARIANTS),
    *(Voice("flite", name) for name in ("kal16", "awb", "slt", "kal")),
    *(Voice("festival", name) for name in ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts")),
)
"""Voices that training may hear."""

HELD_OUT: tuple[Voice, ...] = (Voice("flite", "rms"), *_espeak(("en-us", "en"), HELD_OUT_VARIANTS))
"""Voices that no training may hear."""


def draw_voice(rng: Random, voices: Sequence[Voice] = KNOWN) -> Voice:
    """One of `voices`: first an engine by `ENGINE_SHARES`, then a voice of it."""
    engines = sorted({voice.engine for voice in voices})
    (engine,) = rng.choices(engines, weights=[ENGINE_SHARES[name] for name in engines])
    return rng.choice([voice for voice in voices if voice.engine == engine])
