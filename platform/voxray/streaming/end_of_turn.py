"""Whether the words before a pause are complete, so that whoever spoke them has probably finished."""

from voxray.streaming.events import Hypothesis

CLOSING, UNFINISHED = (".", "?", "!", "\u3002", "\uff1f", "\uff01", "\u0964", "\u061f"), ("..", "\u2026")
QUOTES = "\"'\u201d\u2019\u00bb\u300d\u300f)\uff09"
MIN_PROBABILITY = 0.8  # of the last word


def is_complete(hypothesis: Hypothesis) -> bool:
    """Return whether a hypothesis ends with closing punctuation and a last word that is certain."""
    text = hypothesis.text.rstrip(QUOTES)
    if not text.endswith(CLOSING) or text.endswith(UNFINISHED):
        return False
    return (hypothesis.words[-1].probability or 0.0) > MIN_PROBABILITY
