"""The tests' own model: Whisper's architecture with 4 M parameters, and clips of the voices that it knows.

It is quick, it is worth nothing outside the tests, and `tests.small_model.bootstrap` makes it.
"""

from pathlib import Path

SMALL_MODEL = Path(__file__).parent / "model"
SMALL_MODEL_INT8 = Path(__file__).parent / "model-int8"
SMALL_MODEL_CLIPS = Path(__file__).parent / "clips"
