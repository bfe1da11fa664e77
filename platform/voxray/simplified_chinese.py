"""Chinese in simplified characters: Whisper writes either kind, whatever is spoken."""

from collections.abc import Callable
from functools import cache

from voxray.errors import MissingDependency

CHINESE = frozenset({"zh", "yue"})  # Japanese has characters of its own, which must stay


def to_simplified_chinese(text: str) -> str:
    """Return `text` in simplified Chinese characters, by phrases where those decide (OpenCC, t2s).

    Raises MissingDependency where OpenCC is not installed.
    """
    return _opencc()(text)


@cache
def _opencc() -> Callable[[str], str]:
    try:
        from opencc import OpenCC
    except ImportError as e:
        raise MissingDependency(
            "simplified Chinese: expected the package opencc, got none; pip install opencc."
        ) from e
    convert: Callable[[str], str] = OpenCC("t2s").convert
    return convert
