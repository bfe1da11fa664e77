"""Texts that end before the speech of their clip does: Whisper can stop after a sentence, whatever follows.

Few tokens for the length of a clip are suspect; where its last word and its last speech are decides.
"""

from collections.abc import Sequence

from voxray.audio import Pcm, duration_s
from voxray.speech import CERTAIN, speech_spans
from voxray.transcript import Word
from voxray.whisper.continuation import MIN_PART_S

SPARSE = 3.0  # tokens per second; speech has 3.5 and more
MIN_CLIP_S = 2 * MIN_PART_S  # shorter ones are not cut
LONGEST_S = 3.0  # from the beginning of the last word to the end of the speech


def is_sparse(text_tokens: int, clip: Pcm) -> bool:
    """Return whether a clip is long and has few tokens for its length."""
    return duration_s(clip) >= MIN_CLIP_S and text_tokens < SPARSE * duration_s(clip)


def ends_early(words: Sequence[Word], clip: Pcm) -> bool:
    """Return whether a clip has speech long after the last of its `words`.

    Only where that begins is asked: alignment stretches it over what is missing.
    """
    if not words:
        return False
    spans = speech_spans(clip, threshold=CERTAIN)
    return bool(spans) and spans[-1].end_s - words[-1].start_s > LONGEST_S
