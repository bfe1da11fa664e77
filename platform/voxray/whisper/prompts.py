"""The tokens around a window's text, all of which share the decoder's 448 positions.

<|startofprev|> hotwords prompt <|startoftranscript|> <|language|> <|task|> <|notimestamps|> prefix ...
"""

import re
from collections.abc import Sequence

from voxray.text import basic
from voxray.whisper.tokens import MAX_LABEL_TOKENS, MAX_PREVIOUS_TOKENS, Tokens
from voxray.word_segmentation import split_words

CLOSING_TOKENS = 2  # alignment adds <|notimestamps|> and <|endoftext|>

_INSIDE_NAME = re.compile(r"(?<=<)(?=\|)")


def plain_tokens(tokens: Tokens, text: str) -> list[int]:
    """Encode `text` with names such as `<|en|>` spelled out as ordinary characters.

    Clients write these texts, and a special token among them would break the batch that they are in.
    """
    spelled = text.encode(errors="replace").decode()  # JSON can carry half a surrogate pair
    return [i for piece in _INSIDE_NAME.split(spelled) for i in tokens.encode(piece)]


def previous_tokens(tokens: Tokens, prompt: str, hotwords: str) -> tuple[int, ...]:
    """Return `<|startofprev|>` and the end of hotwords and prompt; empty where both are blank."""
    texts = [" " + t for text in (hotwords, prompt) if (t := text.strip())]
    ids = [i for text in texts for i in plain_tokens(tokens, text)]
    return (tokens.previous, *ids[-MAX_PREVIOUS_TOKENS:]) if ids else ()


def echoes(tokens: Tokens, previous: Sequence[int], ids: Sequence[int]) -> bool:
    """Say whether the text of `ids` has words, and all of them are words of the context `previous`.

    In scripts without spaces a word is a character, so that words in a row are an echo of words in a list.
    """
    words = _words(tokens, ids)
    return bool(words) and words <= _words(tokens, previous)


def _words(tokens: Tokens, ids: Sequence[int]) -> set[str]:
    return {stripped for word in split_words(basic(tokens.decode(ids))) if (stripped := word.strip())}


def text_room(tokens: Tokens, previous: int) -> int:
    """Return how many tokens of text, forced prefix included, fit after `previous` tokens of context."""
    return MAX_LABEL_TOKENS - CLOSING_TOKENS - previous - len(tokens.prompt())
