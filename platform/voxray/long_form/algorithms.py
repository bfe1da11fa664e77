"""The long-form algorithms by their names."""

from collections.abc import Sequence

from voxray.audio import WINDOW_S, Pcm
from voxray.long_form import LongForm
from voxray.long_form.chunked import transcribe_chunked
from voxray.long_form.sequential import transcribe_sequentially
from voxray.transcribe import TranscribeAll, cutting_for, transcribe_all
from voxray.transcript import Transcript
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, Engine


def transcribers(engine: Engine) -> dict[LongForm, TranscribeAll]:
    """Return the algorithms that `engine` can run; `sequential` needs the steps of a CTranslate2 engine."""
    cutting = cutting_for(getattr(engine, "min_window_s", WINDOW_S))

    def pauses(recordings: Sequence[Pcm], options: DecodingOptions) -> list[Transcript]:
        return transcribe_all(recordings, engine, options, cutting)

    def chunked(recordings: Sequence[Pcm], options: DecodingOptions) -> list[Transcript]:
        return transcribe_chunked(recordings, engine, options)

    found: dict[LongForm, TranscribeAll] = {"pauses": pauses, "chunked": chunked}
    if isinstance(engine, CTranslate2Engine):
        found["sequential"] = lambda recordings, options: [
            transcribe_sequentially(pcm, engine, options) for pcm in recordings
        ]
    return found
