import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL_INT8
from tokenizers import Tokenizer

from voxray.audio import SAMPLE_RATE, Pcm
from voxray.transcript import Word
from voxray.whisper.tokens import Tokens
from voxray.whisper.words import token_starts, without_pauses, word_times
from voxray.word_segmentation import split_words


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens.load(SMALL_MODEL_INT8)


@given(st.text("abc de世界é🙂ไทย ", max_size=20))
def test_a_token_begins_where_the_text_before_it_ends(tokens: Tokens, text: str) -> None:
    ids = tokens.encode(text)
    starts = token_starts(tokens, ids)
    before = [tokens.decode(ids[:k]) for k in range(len(ids))]
    assert starts == sorted(starts)
    assert all(text[:at] == b for at, b in zip(starts, before, strict=True) if "\ufffd" not in b)
    assert all(b.startswith(text[:at]) for at, b in zip(starts, before, strict=True))


def noise(seconds: float, level: float = 1000.0) -> Pcm:
    made: Pcm = (level * np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE))).astype(
        np.int16
    )
    return made


def spoken(*stretches_s: tuple[float, float], lasts_s: float = 10.0, hiss: float = 3.0) -> Pcm:
    """Faint hiss, with loud noise in place of speech in each of `stretches_s`."""
    pcm = noise(lasts_s, hiss)
    for start_s, end_s in stretches_s:
        pcm[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)] = noise(end_s - start_s)
    return pcm


def alignment(steps: int, probabilities: list[float]) -> SimpleNamespace:
    """CTranslate2's result for tokens that last `steps` encoder positions (of 20 ms) each."""
    path = [(k, steps * k + f) for k in range(len(probabilities) + 1) for f in range(steps)]
    return SimpleNamespace(alignments=path, text_token_probs=probabilities)


def test_a_word_has_the_times_of_its_tokens_inside_the_window(tokens: Tokens) -> None:
    first, second = tokens.encode(" kitchen"), tokens.encode(" light")
    probabilities = [0.5] * len(first) + [0.25] * len(second)

    found = word_times(tokens, [*first, *second], alignment(10, probabilities), noise(0.2 * len(first) + 0.1))

    assert [w.text for w in found] == [" kitchen", " light"]
    assert [w.probability for w in found] == [0.5, 0.25]
    times = [t for w in found for t in (w.start_s, w.end_s)]
    assert times == pytest.approx([0.0, 0.2 * len(first), 0.2 * len(first), 0.2 * len(first) + 0.1])


@pytest.mark.parametrize("text", ["今天天气", "こんにちは", "ที่นี่"])
def test_words_of_scripts_without_spaces_are_timed_by_character(tokens: Tokens, text: str) -> None:
    ids = tokens.encode(text)

    found = word_times(tokens, ids, alignment(5, [0.5] * len(ids)), noise(30.0))

    assert [w.text for w in found] == split_words(text)
    assert len({w.start_s for w in found}) == len(found) > 1
    assert all(a.end_s == b.start_s < b.end_s for a, b in pairwise(found))


def test_words_that_share_a_token_share_its_time() -> None:
    special = "<|endoftext|> <|startoftranscript|> <|startofprev|> <|nospeech|> <|notimestamps|>".split()
    vocab = {word: i for i, word in enumerate(["世界", "人", *special])}
    model = {"type": "WordLevel", "vocab": vocab, "unk_token": "人"}
    spec = {"version": "1.0", "added_tokens": [], "model": model, "decoder": {"type": "Fuse"}}
    tokens = Tokens.of(Tokenizer.from_str(json.dumps(spec)))

    found = word_times(tokens, [0, 1], alignment(10, [0.5, 1.0]), noise(2.0))

    assert [(w.text, w.start_s, w.end_s, w.probability) for w in found] == [
        ("世", 0.0, 0.0, 0.5),
        ("界", 0.0, 0.2, 0.5),
        ("人", 0.2, 0.4, 1.0),
    ]


@pytest.mark.parametrize(
    ("pcm", "word", "expected"),
    [
        (spoken((1.0, 1.5), (6.0, 6.5)), (1.0, 6.0), (0.95, 1.55)),  # a pause after it
        (
            spoken((1.0, 1.5), (6.0, 6.9)),
            (1.3, 6.8),
            (0.95, 1.55),
        ),  # late onsets
        (spoken((1.0, 1.5), (6.0, 6.5)), (1.6, 6.3), (0.95, 1.55)),  # an onset after it
        (spoken((4.0, 4.6)), (1.0, 4.6), (3.95, 4.65)),  # a pause before it
        (spoken((1.0, 1.2), (1.35, 1.6)), (1.0, 3.0), (0.95, 1.65)),  # a stop inside it
        (spoken((1.0, 1.6), (3.0, 3.1)), (1.0, 5.0), (0.95, 1.65)),  # a click after it
        (spoken((1.0, 1.5), hiss=0.0), (1.0, 6.0), (0.95, 1.55)),  # digital silence
        (np.append(spoken((1.0, 1.5), lasts_s=3.0), np.zeros(32_000, np.int16)), (1.0, 5.0), (0.95, 1.55)),
        (np.zeros(160_000, np.int16), (1.0, 6.0), (1.0, 2.4)),
        (spoken((1.0, 1.5)), (3.0, 5.0), (3.0, 3.25)),  # nothing to hear where it was aligned
        (spoken((1.0, 1.5), hiss=500.0), (1.0, 6.0), (1.0, 2.4)),  # too noisy to tell: 6 dB
        (spoken((1.0, 1.5), hiss=350.0), (1.0, 6.0), (1.0, 2.4)),  # 9 dB
        (spoken((4.0, 4.6), hiss=500.0), (0.0, 4.6), (3.2, 4.6)),  # a pause before it
        (noise(10.0), (1.0, 6.0), (1.0, 2.4)),
        (noise(10.0), (1.0, 2.0), (1.0, 2.0)),  # not too long
        (noise(0.005), (0.0, 0.005), (0.0, 0.005)),
    ],
)
def test_a_word_ends_near_its_speech(
    pcm: Pcm, word: tuple[float, float], expected: tuple[float, float]
) -> None:
    [found] = without_pauses([Word("so", *word, 0.5)], pcm)

    assert (found.start_s, found.end_s) == pytest.approx(expected, abs=0.02)
    assert (found.text, found.probability) == ("so", 0.5)


@pytest.mark.parametrize("hiss", [350.0, 500.0])
def test_in_noise_no_word_lasts_over_a_pause(hiss: float) -> None:
    """Most words last 0.3 s, two of them longer; to two others a pause is counted."""
    texts = ["we", "said", "so", "then", "internationalisation", "1984", "and", "off", "went", "all"]
    ends_s = [3.0, 3.3, 6.0, 6.3, 7.6, 9.0, 9.3, 9.6, 9.9, 10.2]
    words = [Word(t, a, b) for t, a, b in zip(texts, [0.0, *ends_s], ends_s, strict=False)]
    pcm = spoken((2.7, 3.6), (5.95, 10.2), lasts_s=10.5, hiss=hiss)

    found = list(without_pauses(words, pcm))

    first, before_pause = found.pop(0), found.pop(1)
    assert (first.start_s, first.end_s) == pytest.approx((2.4, 3.0), abs=0.02)
    assert (before_pause.start_s, before_pause.end_s) == pytest.approx((3.3, 3.9), abs=0.02)
    assert found == [words[1], *words[3:]]


def test_words_share_their_stretches_of_sound() -> None:
    """Onsets of the words before and after a pause, early and late."""
    pcm = spoken((0.5, 1.5), (4.0, 5.0), (7.0, 7.4))
    words = [
        Word(w, a, b) for w, a, b in (("a", 0.2, 1.0), ("b", 1.0, 1.4), ("c", 1.4, 4.5), ("d", 4.5, 7.3))
    ]

    found = without_pauses([*words, Word("e", 7.3, 9.0)], pcm)

    times = [(round(w.start_s, 2), round(w.end_s, 2)) for w in found]
    assert times == [(0.45, 1.0), (1.0, 1.55), (3.95, 4.5), (4.5, 5.05), (6.95, 7.45)]


@given(
    st.lists(st.floats(0, 10), min_size=2, max_size=12),
    st.lists(st.floats(0, 9), max_size=4),
    st.sampled_from([3.0, 500.0]),
)
def test_words_stay_in_order_and_within_the_window(
    edges_s: list[float], loud_s: list[float], hiss: float
) -> None:
    edges_s = sorted(edges_s)
    words = [Word("so", a, b) for a, b in pairwise(edges_s)]
    found = without_pauses(words, spoken(*((at, at + 0.4) for at in loud_s), hiss=hiss))

    times = [t for w in found for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= 10
    assert len(found) == len(words)
