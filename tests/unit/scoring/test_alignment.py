"""References aligned with their audio by the tests' small model."""

from itertools import pairwise

from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import decode
from voxray.corpora.store import Clip
from voxray.scoring.alignment import reference_words
from voxray.whisper.ctranslate import CTranslate2Engine


def test_the_words_of_a_reference_are_timed_in_order_within_its_clip() -> None:
    files = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:3]
    clips = [Clip(f.stem, decode(f), f.with_suffix(".txt").read_text().strip()) for f in files]
    timed = reference_words(CTranslate2Engine(SMALL_MODEL_INT8, device="cpu"), clips)
    for clip, words in zip(clips, timed, strict=True):
        assert [w.text.strip() for w in words] == clip.text.split()
        assert all(0.0 <= w.start_s <= w.end_s <= clip.duration_s + 0.05 for w in words)
        assert all(a.start_s <= b.start_s for a, b in pairwise(words))
        assert words[-1].end_s > clip.duration_s / 2
