"""Long recordings, transcribed by each long-form algorithm that an engine can run."""

import time
from collections.abc import Mapping, Sequence

from voxray.audio import Pcm, duration_s
from voxray.corpora.store import Clip
from voxray.long_form import LongForm
from voxray.long_form.algorithms import transcribers
from voxray.scoring.faster_whisper_engine import FasterWhisperEngine
from voxray.scoring.suites import Clock, Scores, scores_of
from voxray.text import NormaliserName
from voxray.transcribe import TranscribeAll
from voxray.transcript import Transcript
from voxray.whisper.engines import DecodingOptions, Engine

ROWS: dict[LongForm, str] = {"chunked": "chunked", "sequential": "sequential", "pauses": "cut at pauses"}


def algorithms(engine: Engine) -> Mapping[str, TranscribeAll]:
    """Return the algorithms that `engine` can run, by their names in reports."""
    if isinstance(engine, FasterWhisperEngine):

        def own(recordings: Sequence[Pcm], options: DecodingOptions) -> list[Transcript]:
            results = zip(recordings, engine.transcribe(recordings, options), strict=True)
            return [Transcript(r.segments, r.language, duration_s(pcm)) for pcm, r in results]

        return {"faster-whisper's own": own}
    found = transcribers(engine)
    return {row: found[name] for name, row in ROWS.items() if name in found}


def score_long_form(
    transcribe_all: TranscribeAll,
    recordings: Sequence[Clip],
    options: DecodingOptions,
    *,
    name: NormaliserName = "auto",
    clock: Clock = time.perf_counter,
) -> Scores:
    """Transcribe `recordings` one after another with `transcribe_all` and score them, all of it timed."""
    start_s = clock()
    texts = []
    for clip in recordings:
        own = options.model_copy(update={"language": options.language or clip.language})
        (transcript,) = transcribe_all([clip.pcm], own)
        texts.append(transcript.text)
    return scores_of(recordings, texts, compute_s=clock() - start_s, normaliser=name)
