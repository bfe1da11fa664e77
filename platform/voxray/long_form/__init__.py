"""The algorithms for recordings longer than one window of 30 s.

`pauses` cuts at pauses (`voxray.transcribe`), `sequential` decodes window after window, `chunked` decodes
overlapping chunks and joins their words. `algorithms.transcriber` returns one of them.
"""

from typing import Literal

LongForm = Literal["pauses", "sequential", "chunked"]
"""The names of the algorithms; the last two as Hugging Face and the papers on Whisper call them."""
