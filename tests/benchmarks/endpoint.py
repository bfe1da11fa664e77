"""False cuts against the time to the final, for fixed endpoints and for those that depend on the words.

    python -m tests.benchmarks.endpoint OUT.jsonl --seconds 150

Plays the recordings of `pauses` into real sessions, with Silero's detector and a real model, on a virtual
clock on which every decode takes `--decode-ms`: the same rows come from any machine. A false cut is an
endpoint before the last words of a recording; the time to the final counts from the end of its speech.

Rows are appended to OUT.jsonl, and a run goes on where the last one stopped, for `--seconds`. Then it prints
a table of all that there are.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.benchmarks.client_scores import quantile
from tests.benchmarks.pauses import SUITES, Recording, recordings

from voxray.audio import Pcm
from voxray.scoring.live import SpeechProbabilities, TimedEvent, VirtualClient
from voxray.serving.audio_input.voice_activity import SileroModel
from voxray.serving.protocol import Job
from voxray.serving.transcriber.decoder import Decoder
from voxray.streaming.endpoint import EndpointOptions
from voxray.streaming.events import DecodeRequest, Final, Hypothesis, SpeechEnd, SpeechStart
from voxray.streaming.options import SessionOptions
from voxray.streaming.session import Session
from voxray.transcript import Word
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.models import ctranslate2_folder

FIXED_MS = range(300, 1501, 100)
RANGES_MS = [(400, high) for high in (800, 1000, 1200, 1500)]
ENDPOINTS = [
    *(EndpointOptions(endpoint_ms=ms) for ms in FIXED_MS),
    *(EndpointOptions(endpoint_ms=high, min_endpoint_ms=low) for low, high in RANGES_MS),
]
LEAST_GAP_S = 0.25  # between utterances; segments that are cut in speech have none between them


@dataclass(frozen=True, slots=True)
class Row:
    """One recording with one endpoint, as `name_of` has it: endpoints before the last, seconds, the text."""

    suite: str
    recording: str
    endpoint: str
    cuts: int
    final_s: float
    text: str


@dataclass
class CachedDecodes:
    """Decodes each window once; each time that takes `seconds` on a clock of its own."""

    decoder: Decoder
    seconds: float
    now_s: float = 0.0
    _known: dict[Any, Hypothesis | None] = field(default_factory=dict)

    def clock(self) -> float:
        """Return the time on the virtual clock."""
        return self.now_s

    def __call__(self, request: DecodeRequest, window: Pcm) -> Hypothesis | None:
        """See `voxray.scoring.live.DecodeWindow`."""
        self.now_s += self.seconds
        pcm = window.astype("<i2").tobytes()
        how = (request.prefix, request.mode, request.word_times, request.language)
        if (pcm, *how) not in self._known:
            job = Job("benchmark", request.id, pcm, *how, "transcribe", "", "", 0.0)
            [self._known[pcm, *how]] = self.decoder.decode([job])
        return self._known[pcm, *how]


@dataclass
class CachedSpeech:
    """The speech probabilities of one recording, which comes again in the same chunks."""

    probabilities: SpeechProbabilities
    _known: list[Sequence[float]] = field(default_factory=list)

    def replayed(self) -> SpeechProbabilities:
        """Return what gives the probabilities of the recording's chunks, from its first on."""
        numbers = count()

        def speech(chunk: Pcm) -> Sequence[float]:
            if (number := next(numbers)) == len(self._known):
                self._known.append(self.probabilities(chunk))
            return self._known[number]

        return speech


class Bench:
    """Plays recordings into sessions whose decodes take `decode_s`."""

    def __init__(self, model: str, decode_s: float, threads: int) -> None:
        self._engine = CTranslate2Engine(ctranslate2_folder(model), threads=threads)
        self._decoder, self._decode_s = Decoder(self._engine), decode_s
        self._silero = SileroModel()

    def words(self, pcm: Pcm) -> Sequence[Word]:
        """Return the words of a recording."""
        return self._engine.transcribe([pcm], DecodingOptions(words=True))[0].words

    def rows(self, recording: Recording) -> list[Row]:
        """Play a recording with each of `ENDPOINTS`; return no rows where it has too few words."""
        pcm = recording.pcm(self.words)
        if pcm is None:
            return []
        decodes = CachedDecodes(self._decoder, self._decode_s)
        speech = CachedSpeech(self._silero.detector().probabilities)
        return [self._row(recording, pcm, speech.replayed(), decodes, endpoint) for endpoint in ENDPOINTS]

    def _row(
        self,
        recording: Recording,
        pcm: Pcm,
        speech: SpeechProbabilities,
        decodes: CachedDecodes,
        endpoint: EndpointOptions,
    ) -> Row:
        session = Session(SessionOptions(endpoint=endpoint, language="en"))
        cuts, final_s, text = outcome(VirtualClient(session, speech, decodes, decodes.clock).play(pcm))
        return Row(recording.suite, recording.name, name_of(endpoint), cuts, round(final_s, 3), text)


def outcome(events: Sequence[TimedEvent]) -> tuple[int, float, str]:
    """Return the endpoints before the last, the seconds from the end of speech to its final, and the text."""
    starts = [e.event for e in events if isinstance(e.event, SpeechStart)]
    ends = [e.event for e in events if isinstance(e.event, SpeechEnd)]
    finals = [(e.at_s, e.event.text) for e in events if isinstance(e.event, Final)]
    gaps = (start.at_s - end.at_s for start, end in zip(starts[1:], ends, strict=False))
    final_s = finals[-1][0] - ends[-1].at_s if finals else float("nan")
    return sum(gap > LEAST_GAP_S for gap in gaps), final_s, " ".join(text for _, text in finals)


def name_of(endpoint: EndpointOptions) -> str:
    """Return the milliseconds of an endpoint: one number, or two."""
    longest = str(endpoint.endpoint_ms)
    return f"{endpoint.shortest_ms}-{longest}" if endpoint.depends_on_words else longest


def show(rows: Iterable[Row]) -> None:
    """Print a table of each suite."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row.suite][row.endpoint].append(row)
    for suite, by_endpoint in found.items():
        table = Table("endpoint, ms", "false cuts per 100", "final p50, s", "p90", "mean", title=suite)
        for endpoint, its in by_endpoint.items():
            seconds = sorted(r.final_s for r in its)
            times = (quantile(seconds, 0.5), quantile(seconds, 0.9), sum(seconds) / len(seconds))
            cuts = 100 * sum(r.cuts for r in its) / len(its)
            table.add_row(endpoint, f"{cuts:.1f}", *(f"{s:.2f}" for s in times if s is not None))
        table.caption = f"{len(its)} recordings"
        Console(width=100).print(table)


def main() -> None:
    """Play what is not played yet, and print all."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--suites", nargs="+", choices=SUITES, default=SUITES)
    arguments.add_argument("--recordings", type=int, default=1000, help="of each suite, at most")
    arguments.add_argument("--chosen", action="store_true", help="the prompts on which the rule was chosen")
    arguments.add_argument("--seconds", type=float, default=float("inf"))
    arguments.add_argument("--decode-ms", type=float, default=200.0)
    arguments.add_argument("--model", default="tiny.en")
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    until_s = time.monotonic() + given.seconds
    played = {(row.suite, row.recording) for row in read(given.out)}
    wanted = [r for suite in given.suites for r in recordings(suite, chosen=given.chosen)[: given.recordings]]
    bench = Bench(given.model, given.decode_ms / 1000, given.threads)
    with given.out.open("a") as out:
        for recording in wanted:
            if (recording.suite, recording.name) in played or time.monotonic() > until_s:
                continue
            out.writelines(json.dumps(asdict(row)) + "\n" for row in bench.rows(recording))
            out.flush()
    show(read(given.out))


def read(file: Path) -> list[Row]:
    """Return the rows so far."""
    return [Row(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


if __name__ == "__main__":
    main()
