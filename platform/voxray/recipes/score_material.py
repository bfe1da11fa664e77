"""What the suites of a score are run on: clips of the corpus, prepared once for every model."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from pydantic import Field

from voxray.audio import Pcm
from voxray.config import Config
from voxray.corpora.store import Clip
from voxray.scoring.alignment import reference_words
from voxray.scoring.cut_clips import CutClip, random_cut
from voxray.scoring.noise import SNRS_DB, in_noise, noises
from voxray.scoring.subset import PauseRange, recordings, spread
from voxray.scoring.telephone import available_codecs, over_line
from voxray.scoring.windows import silences
from voxray.text import NormaliserName
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions

LONG_PAUSES = PauseRange(0.3, 1.5)
LIVE_PAUSES = PauseRange(0.8, 2.0)


class MostClips(Config):
    """How many clips each suite takes at most, evenly spread over the corpus."""

    noise: int = Field(default=8, ge=1)
    """Each kind of noise, at each of 11 ratios."""
    telephone: int = Field(default=25, ge=1)
    """Each codec."""
    silence: int = Field(default=20, ge=1)
    """Half of them silence, half of them noise, of 1 to 10 s."""
    cut: int = Field(default=30, ge=1)
    """Each cut once."""
    long: int = Field(default=40, ge=1)
    """Joined to recordings of 3 min; recordings over 30 s of the corpus take their place."""
    live: int = Field(default=20, ge=1)
    """Joined, and played to one session."""
    speculative: int = Field(default=8, ge=1)
    """Decoded one by one, twice."""


@dataclass
class SuiteMaterial:
    """What the suites are run on: the same for every model.

    `aligner` loads the model that times the words of references, for clips that are cut.
    """

    clips: Sequence[Clip]
    options: DecodingOptions
    aligner: Callable[[], CTranslate2Engine]
    most: MostClips = field(default_factory=MostClips)
    normaliser: NormaliserName = "auto"
    music: Pcm | None = None
    seed: int = 0

    def rng(self) -> np.random.Generator:
        """Return a generator that begins anew."""
        return np.random.default_rng(self.seed)

    @cached_property
    def noisy(self) -> Mapping[tuple[str, str], list[Clip]]:
        """Clips in noise, by kind and ratio."""
        chosen = spread(self.clips, self.most.noise)
        found = noises(chosen, self.clips, self.music, seed=self.seed)
        return {
            (kind, f"{snr} dB"): list(in_noise(chosen, noise, snr))
            for kind, noise in found.items()
            for snr in SNRS_DB
        }

    @cached_property
    def telephoned(self) -> Mapping[str, list[Clip]]:
        """Clips over a telephone line, by codec."""
        chosen = spread(self.clips, self.most.telephone)
        return {
            name: [replace(clip, pcm=over_line(clip.pcm, codec)) for clip in chosen]
            for name, codec in available_codecs().items()
        }

    @cached_property
    def wordless(self) -> Mapping[str, list[Clip]]:
        """Clips of silence and of noise."""
        clips = silences(self.rng(), self.most.silence)
        kinds = {"silence": [c for c in clips if not c.pcm.any()], "noise": [c for c in clips if c.pcm.any()]}
        return {kind: [replace(c, language=self.language) for c in found] for kind, found in kinds.items()}

    @cached_property
    def cut(self) -> list[CutClip]:
        """Clips cut at a random time."""
        chosen, rng = spread(self.clips, self.most.cut), self.rng()
        words = reference_words(self.aligner(), chosen)
        return [random_cut(clip, times, rng) for clip, times in zip(chosen, words, strict=True)]

    @cached_property
    def long(self) -> list[Clip]:
        """Recordings of minutes."""
        return recordings(self.clips, self.most.long, LONG_PAUSES, self.rng())

    @cached_property
    def live(self) -> list[Clip]:
        """Recordings to play."""
        return recordings(self.clips, self.most.live, LIVE_PAUSES, self.rng())

    @property
    def language(self) -> str:
        """The language of clips without words: that of most clips."""
        return Counter(clip.language for clip in self.clips).most_common(1)[0][0]
