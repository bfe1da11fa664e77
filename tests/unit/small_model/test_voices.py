from collections import Counter
from random import Random

from tests.small_model.synthesis.voices import ENGINE_SHARES, HELD_OUT, HELD_OUT_VARIANTS, KNOWN, draw_voice


def test_held_out_voices_never_train() -> None:
    assert not set(KNOWN) & set(HELD_OUT)
    assert not {v.speaker for v in KNOWN} & {v.speaker for v in HELD_OUT}


def test_held_out_are_rms_and_the_four_variants() -> None:
    expected = {"rms", *(name.lower() for name in HELD_OUT_VARIANTS)}
    assert {v.speaker for v in HELD_OUT} == expected


def test_voice_ids_are_distinct_and_fit_for_files() -> None:
    ids = [v.id for v in (*KNOWN, *HELD_OUT)]
    assert len(set(ids)) == len(ids)
    assert all(c.islower() or c.isdigit() or c == "-" for name in ids for c in name)


def test_engines_are_drawn_by_their_shares() -> None:
    rng = Random(2)
    counts = Counter(draw_voice(rng).engine for _ in range(4000))
    assert all(abs(counts[name] / 4000 - share) < 0.03 for name, share in ENGINE_SHARES.items())


def test_draws_only_from_the_voices_given() -> None:
    rng = Random(2)
    assert {draw_voice(rng, HELD_OUT[:2]) for _ in range(50)} == set(HELD_OUT[:2])
