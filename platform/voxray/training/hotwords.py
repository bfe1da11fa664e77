"""Lists of words before a text, as a client's hotwords stand before a window (Whisper's previous text).

Some are words of the text, the others are not: from such labels a model learns to write a word as the list
has it, and to leave out those that nobody said.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from voxray.word_segmentation import bare_words

MIN_LETTERS = 4  # shorter words are seldom names or terms; characters of scripts without spaces are none
MOST_SAID = 3  # words of the text in a list
MOST_OTHERS = 12
NONE_SAID_PROBABILITY = 0.3


def vocabulary(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the words of `texts` that may stand in a list, each once, in the order of their letters."""
    return tuple(sorted({word for text in texts for word in _words(text)}))


def hotwords(text: str, others: Sequence[str], rng: np.random.Generator) -> str:
    """Return a list, with commas, of up to three words of `text` and up to twelve of `others`, at random.

    It has no word of the text in three of ten cases, and is empty where there is no word for it.
    """
    said = _words(text)
    spoken = {word.casefold() for word in said}
    count = 0 if rng.random() < NONE_SAID_PROBABILITY else min(int(rng.integers(1, MOST_SAID + 1)), len(said))
    drawn = (
        [others[i] for i in rng.integers(len(others), size=rng.integers(MOST_OTHERS + 1))] if others else []
    )
    chosen = [*rng.permutation(said)[:count], *(w for w in drawn if w.casefold() not in spoken)]
    return ", ".join(rng.permutation(list(dict.fromkeys(map(str, chosen)))))


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word for word in bare_words(text) if len(word) >= MIN_LETTERS))
