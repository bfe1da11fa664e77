"""Which clips of a corpus a suite is run on, and what recordings can be made of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby

import numpy as np

from voxray.audio import SAMPLE_RATE, WINDOW_S, Pcm
from voxray.corpora.store import Clip
from voxray.writing_systems import join_texts

RECORDING_S = 180.0  # joined clips make recordings of about this length
TOTAL_S = 600.0  # of all recordings of a suite, unless the first is longer


@dataclass(frozen=True, slots=True)
class PauseRange:
    """Bounds of the random pauses between the clips of a recording, in seconds."""

    shortest_s: float
    longest_s: float


def spread(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Return at most `most` clips with words that fit one window, evenly spread over `clips`."""
    fitting = [clip for clip in clips if clip.text.strip() and clip.duration_s <= WINDOW_S]
    count = min(most, len(fitting))
    return [fitting[i * len(fitting) // count] for i in range(count)]


def recordings(
    clips: Sequence[Clip], most: int, pauses: PauseRange, rng: np.random.Generator, max_s: float = RECORDING_S
) -> list[Clip]:
    """Return the recordings over 30 s among `clips`, at most `most`; where there are none, joined clips.

    Of these, at most `most` are joined: those of one language, in order, with silence after each, to
    recordings of at most `max_s`. In both cases as many are taken as last `TOTAL_S`.
    """
    if own := [clip for clip in clips if clip.duration_s > WINDOW_S and clip.text.strip()]:
        return _first_within(own[:most], TOTAL_S)
    spoken = sorted(_first_within(spread(clips, most), TOTAL_S), key=lambda clip: clip.text_language)
    return [
        joined(part, pauses, rng)
        for _, alike in groupby(spoken, key=lambda clip: clip.text_language)
        for part in _parts(list(alike), max_s)
    ]


def joined(clips: Sequence[Clip], pauses: PauseRange, rng: np.random.Generator) -> Clip:
    """Return `clips` as one, with a random pause of digital silence after each."""
    parts = [part for clip in clips for part in (clip.pcm, _pause(pauses, rng))]
    text = join_texts(clip.text.strip() for clip in clips)
    return replace(clips[0], id=f"{clips[0].id}...", pcm=np.concatenate(parts), text=text, speaker="")


def _first_within(clips: Sequence[Clip], total_s: float) -> list[Clip]:
    """Return the first of `clips`, and those after it that end within `total_s`."""
    ends = accumulate(clip.duration_s for clip in clips)
    return [
        clip for i, (clip, end_s) in enumerate(zip(clips, ends, strict=True)) if i == 0 or end_s <= total_s
    ]


def _pause(pauses: PauseRange, rng: np.random.Generator) -> Pcm:
    return np.zeros(round(rng.uniform(pauses.shortest_s, pauses.longest_s) * SAMPLE_RATE), np.int16)


def _parts(clips: Sequence[Clip], max_s: float) -> Iterator[list[Clip]]:
    """Split `clips` into runs of at most `max_s` seconds, of one clip at least."""
    part: list[Clip] = []
    for clip in clips:
        if part and sum(c.duration_s for c in [*part, clip]) > max_s:
            yield part
            part = []
        part.append(clip)
    if part:
        yield part
