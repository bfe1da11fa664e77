"""The algorithms for recordings longer than one window of 30 s.

`pauses` cuts at pauses (`voxray.transcribe`), `sequential` decodes window after window, `chunked` decodes
overlapping chunks and joins their words. `algorithms.transcribers` returns them by name.

Each is given audio that is in memory. `transcribe.transcribe_sections` gives them a long recording in
sections of ten minutes, cut in a pause, so that memory is bounded; no window or chunk crosses such a cut.
"""

from typing import Literal

LongForm = Literal["pauses", "sequential", "chunked"]
"""The names of the algorithms; the last two as Hugging Face and the papers on Whisper call them."""
