"""Loops: texts in which the decoder repeats itself or never ends, told by the text and the audio's length."""

from collections.abc import Sequence

from voxray.guards import Guards
from voxray.text import compression_ratio
from voxray.whisper.tokens import Tokens

TOKENS_PER_S = 20.0  # more than is spoken in a script whose words have tokens of their own
SPARE_TOKENS = 32  # for timestamps, and for what short clips hold
CHARACTERS_PER_S = 30.0  # more than anyone speaks, in any script
SPARE_CHARACTERS = 60  # for what short clips hold
NO_REPEAT_NGRAM = 3  # tokens that may not come twice when a repetition is decoded again
GUARDS = Guards()  # those of live text


def most_tokens(seconds: float) -> int:
    """Return how many tokens of text and timestamps are first allowed for so much audio.

    Scripts whose letters have several tokens, as Burmese, may need more.
    """
    return int(TOKENS_PER_S * seconds) + SPARE_TOKENS


def repeats(tokens: Tokens, ids: Sequence[int], seconds: float) -> bool:
    """Say whether generated `ids` are a loop: more than can be said in `seconds`, or one to the guards."""
    text = tokens.decode(ids)
    too_long = len(text) > CHARACTERS_PER_S * seconds + SPARE_CHARACTERS
    return too_long or GUARDS.is_loop(text, compression_ratio(text))


def without_loop(tokens: Tokens, ids: Sequence[int], seconds: float) -> tuple[int, ...]:
    """Return the beginning of `ids`, up to where the loop in it begins."""
    seen: set[tuple[int, ...]] = set()
    end = len(ids)
    for at in range(len(ids) - NO_REPEAT_NGRAM + 1):
        gram = tuple(ids[at : at + NO_REPEAT_NGRAM])
        if gram in seen:
            end = at
            break
        seen.add(gram)
    while repeats(tokens, ids[:end], seconds):
        end -= 1
    return tuple(ids[:end])
