"""Scripts that are written without spaces between words, and how texts in any script are joined."""

import re
from collections.abc import Iterable

UNSPACED = re.compile(
    "["
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Han
    "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"  # Kana
    "\u3100-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u0e00-\u0e7f\u0e80-\u0eff"  # Thai, Lao
    "\u1780-\u17ff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Khmer, Burmese
    "\u0f00-\u0fff"  # Tibetan
    "]"
)
"""A character of a script that is written without spaces between words."""
_BEGINS_UNSPACED = re.compile(rf"[\W_]*{UNSPACED.pattern}")
_ENDS_UNSPACED = re.compile(rf"{UNSPACED.pattern}[\W_]*\Z")


def join_texts(texts: Iterable[str]) -> str:
    """Join the texts that are not empty, without a space beside a script that is written without spaces."""
    joined = before = ""
    for text in filter(None, texts):
        unspaced = not before or _ENDS_UNSPACED.search(before) or _BEGINS_UNSPACED.match(text)
        joined += text if unspaced else f" {text}"
        before = text
    return joined
