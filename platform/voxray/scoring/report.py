"""One HTML file, complete in itself: models side by side, plots, and the worst clips with a player each."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from voxray import __version__
from voxray.audio import SAMPLE_RATE, Pcm, encode
from voxray.files import atomic_file
from voxray.scoring.edits import Edit, edits
from voxray.scoring.metrics import ClipScore, RateName, worst
from voxray.scoring.plots import COLOURS, wer_by_duration, wer_by_speaker, wer_histogram
from voxray.scoring.suites import Scores
from voxray.text import NormaliserName

WORST = 20
BIT_RATE = 24_000  # of the players' Opus: speech stays clear, and a clip is a few KB
MAX_PLAYED_S = 60.0
NO_AUDIO: Mapping[str, Pcm] = {}
NO_PLOTS: Mapping[str, Markup] = {}


@dataclass(frozen=True, slots=True)
class ModelScores:
    """A model's part of the report. `parameters` and `decoder_ms` are left out where they are not known."""

    name: str
    scores: Scores
    parameters: int | None = None
    decoder_ms: float | None = None


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A model in the summary table, written out."""

    name: str
    colour: str
    cells: Mapping[str, str]  # by column


@dataclass(frozen=True, slots=True)
class ScoredHypothesis:
    """One model's hypothesis of a clip."""

    name: str
    wer: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class ClipRow:
    """A clip to hear and read: its text, each model's hypothesis, its audio as a data: URI (or none)."""

    id: str
    speaker: str
    duration: str
    reference: str
    hypotheses: tuple[ScoredHypothesis, ...]
    audio: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A further table of the report: a heading, the columns, and rows of as many cells."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


UNITS: Mapping[RateName, str] = {"WER": "words", "CER": "characters", "MER": "words and characters"}


def write_report(
    path: Path,
    title: str,
    sections: Sequence[ModelScores],
    *,
    audio: Mapping[str, Pcm] = NO_AUDIO,
    notes: Sequence[str] = (),
    tables: Sequence[ReportTable] = (),
    headline: str = "",
    plots: Mapping[str, Markup] = NO_PLOTS,
    normaliser: NormaliserName = "auto",
    worst_clips: int = WORST,
) -> Path:
    """Write the report of at least one model to `path`.

    All models were scored on the same clips, after the same `normaliser`; the worst clips are those of the
    last model. `audio` has the samples of clips by id, for the players. `headline` stands under the title,
    `plots` (by heading) before those that are drawn of the scores.
    """
    worst_scores = worst(sections[-1].scores.clips, worst_clips)
    return write_page(
        path,
        "report.html.j2",
        title=title,
        notes=notes,
        facts=_facts(sections),
        rows=[summary_row(s, i) for i, s in enumerate(sections)],
        tables=tables,
        headline=headline,
        plots={**plots, **_plots(sections)},
        clips=clip_rows(sections, [score.id for score in worst_scores], audio, normaliser),
    )


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Write the page that `template` makes of `values`, with the parts that they leave undefined empty."""
    environment = Environment(
        loader=PackageLoader("voxray.scoring", ""), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.get_template(template).render(version=__version__, **values)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as part:
        part.write_text(html, encoding="utf-8")
    return path


def write_clips(path: Path, rows: Sequence[ClipRow]) -> None:
    """Write `rows` as JSON, for pages that show them without the report."""
    clips = {"object": "list", "data": [asdict(row) for row in rows]}
    with atomic_file(path) as part:
        part.write_text(json.dumps(clips, ensure_ascii=False), encoding="utf-8")


def summary_row(section: ModelScores, place: int = 0) -> SummaryRow:
    """Write out a model's numbers for the table."""
    summary = section.scores.summary
    errors = summary.errors
    length = max(1, errors.reference_length)
    counts = (errors.substitutions, errors.deletions, errors.insertions)
    cells = {
        f"{summary.rate_name}, %": f"{100 * summary.wer:.2f}",
        "95 % interval": f"{100 * summary.wer_low:.2f} to {100 * summary.wer_high:.2f}",
        "CER, %": f"{100 * summary.cer:.2f}",  # where that is the first column, there is no second
        "S / D / I, %": " / ".join(f"{100 * n / length:.2f}" for n in counts),
        "Repeats / 1,000": f"{summary.repeated_per_1000:.1f}",
        "RTFx": f"{section.scores.rtfx:.1f}",
        "Parameters": "" if section.parameters is None else f"{section.parameters / 1e6:.2f} M",
        "Decoder, ms": "" if section.decoder_ms is None else f"{section.decoder_ms:.1f}",
    }
    return SummaryRow(section.name, COLOURS[place % len(COLOURS)], cells)


def clip_rows(
    sections: Sequence[ModelScores],
    ids: Sequence[str],
    audio: Mapping[str, Pcm],
    normaliser: NormaliserName = "auto",
) -> list[ClipRow]:
    """Return the clips called `ids`, in that order, with every model's hypothesis."""
    by_id = {section.name: {s.id: s for s in section.scores.clips} for section in sections}
    last = by_id[sections[-1].name] if ids else {}
    return [
        ClipRow(
            id=id,
            speaker=last[id].speaker,
            duration=f"{last[id].duration_s:.1f} s",
            reference=last[id].reference,
            hypotheses=tuple(
                _hypothesis(name, scores[id], normaliser) for name, scores in by_id.items() if id in scores
            ),
            audio=data_uri(audio[id]) if id in audio else None,
        )
        for id in ids
    ]


def _hypothesis(name: str, score: ClipScore, normaliser: NormaliserName) -> ScoredHypothesis:
    marked = edits(score.reference, score.hypothesis, score.language, normaliser)
    return ScoredHypothesis(name, f"{100 * score.errors.rate:.0f}", tuple(marked))


def data_uri(pcm: Pcm) -> str:
    """Encode the first minute of `pcm` as Opus in a data: URI."""
    opus = encode(pcm[: round(MAX_PLAYED_S * SAMPLE_RATE)], "libopus", "ogg", BIT_RATE)
    return f"data:audio/ogg;base64,{base64.b64encode(opus).decode()}"


def _facts(sections: Sequence[ModelScores]) -> dict[str, str]:
    summary = sections[0].scores.summary
    minutes, seconds = divmod(round(summary.audio_s), 60)
    speakers = len(sections[0].scores.speakers)
    return {
        "clips": f"{summary.clips:,}",
        UNITS[summary.rate_name]: f"{summary.errors.reference_length:,}",
        "audio": f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s",
        **({"speakers": str(speakers)} if speakers else {}),
    }


def _plots(sections: Sequence[ModelScores]) -> dict[str, Markup]:
    """Draw the plots: SVG by heading. matplotlib escapes the text in it."""
    clips = {s.name: s.scores.clips for s in sections}
    if not any(clips.values()):
        return {}
    plots = {"By duration": wer_by_duration(clips), "By clip": wer_histogram(clips)}
    if len(sections[-1].scores.speakers) > 1:
        plots["By speaker"] = wer_by_speaker(
            {s.name: s.scores.speakers for s in sections}, sections[-1].scores.summary.rate_name
        )
    return {heading: Markup(svg) for heading, svg in plots.items()}
