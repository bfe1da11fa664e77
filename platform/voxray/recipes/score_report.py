"""What was scored, written out: tables and plots for people, values for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from voxray.corpora.items import Rejected
from voxray.recipes.score_suites import percent
from voxray.scoring.comparison import (
    ModelComparison,
    Models,
    by_duration,
    compare_by,
    compare_with_first,
    deciding,
)
from voxray.scoring.metrics import RateName
from voxray.scoring.paired import written_probability
from voxray.scoring.plots import wer_by_snr
from voxray.scoring.rare_words import recall_score
from voxray.scoring.report import ReportTable
from voxray.scoring.suite_scores import KEY_FIGURES, SuiteName, SuiteScores, heading, written
from voxray.scoring.suites import Scores
from voxray.text import NormaliserName

SuiteResults = Mapping[SuiteName, Mapping[str, SuiteScores]]
"""By suite, then by model; a pair of models in `speculative`."""

EVIDENCE = ("lower by, points", "95 % interval", "p that it is better")
SUITE_HEADINGS: Mapping[SuiteName, str] = {
    "noise": "In noise: {rate}, %, by signal-to-noise ratio",
    "telephone": "Over a telephone line of 8 kHz",
    "silence": "Words invented in silence and noise",
    "cut": "Clips cut at a random time",
    "long": "Long recordings, three ways",
    "live": "Live, on a virtual clock",
    "speculative": "Speculative decoding",
}


@dataclass(frozen=True, slots=True)
class RareWordScores:
    """A model's scores without and with a corpus's rare `words` as hotwords."""

    words: Sequence[str]
    plain: Scores
    listed: Scores

    def values(self, name: NormaliserName) -> dict[str, Any]:
        """Return the values for programs."""
        plain, listed = (recall_score(self.words, s.clips, name) for s in (self.plain, self.listed))
        return {
            "rare_words": len(self.words),
            "rare_word_recall": percent(plain.recall),
            "rare_word_recall_with_hotwords": percent(listed.recall),
            "rare_words_invented": plain.invented,
            "rare_words_invented_with_hotwords": listed.invented,
            "wer_with_hotwords": percent(self.listed.summary.wer),
        }

    def rows(self, name: NormaliserName, model: str = "") -> list[Sequence[str]]:
        """Return the rows of a table, named with the model where there are several."""
        ways = {"without hotwords": self.plain, "with hotwords": self.listed}
        rows: list[Sequence[str]] = []
        for way, scores in ways.items():
            r = recall_score(self.words, scores.clips, name)
            counts = (str(r.found), str(r.occurrences), str(r.invented))
            title = f"{model}, {way}" if model else way
            rows.append((title, f"{100 * r.recall:.1f}", *counts, f"{100 * scores.summary.wer:.2f}"))
        return rows


def rare_word_tables(scored: Mapping[str, RareWordScores], name: NormaliserName) -> list[ReportTable]:
    """Return the table of what hotwords change, for all models; none where nothing was scored so."""
    if not scored:
        return []
    columns = ("Decoded", "recall, %", "found", "said", "invented", "WER, %")
    rows = [row for model, its in scored.items() for row in its.rows(name, model if len(scored) > 1 else "")]
    count = len(next(iter(scored.values())).words)
    return [ReportTable(f"The {count} rarest words", columns, rows)]


def result_of(scores: Scores) -> dict[str, Any]:
    """Return the values of one model, rates in per cent."""
    summary = scores.summary
    errors, length = summary.errors, max(1, summary.errors.reference_length)
    return {
        "wer": percent(summary.wer),
        "cer": percent(summary.cer),
        "clips": summary.clips,
        "words": errors.reference_length,  # characters, where none are written apart
        "rtfx": round(scores.rtfx, 2),
        "substitutions": errors.substitutions,
        "deletions": errors.deletions,
        "insertions": errors.insertions,
        "substitution_rate": percent(errors.substitutions / length),
        "deletion_rate": percent(errors.deletions / length),
        "insertion_rate": percent(errors.insertions / length),
        "wer_low": percent(summary.wer_low),
        "wer_high": percent(summary.wer_high),
        "mean_clip_wer": percent(summary.mean_clip_wer),
        "repeated_per_1000": round(summary.repeated_per_1000, 2),
        "audio_s": round(summary.audio_s, 1),
    }


def clip_values(scores: Scores) -> dict[str, Any]:
    """Return each speaker's error rate, and each clip's texts and counts."""
    return {
        "speakers": {name: percent(s.wer) for name, s in scores.speakers.items()},
        "per_clip": [{**asdict(clip), "wer": percent(clip.errors.rate)} for clip in scores.clips],
    }


def comparison_values(comparison: ModelComparison) -> dict[str, Any]:
    """Return what `b` gains over `a`, in points; negative where it loses."""
    gain = comparison.improvement
    return {
        "a": comparison.a,
        "b": comparison.b,
        "lower_by": percent(gain.reduction),
        "low": percent(gain.low),
        "high": percent(gain.high),
        "probability": round(gain.probability, 3),
        "headline": comparison.headline,
    }


def comparison_tables(models: Models) -> list[ReportTable]:
    """Return each model against the first, and the deciding pair by language, duration and speaker."""
    comparisons = compare_with_first(models)
    if not comparisons:
        return []
    pair = deciding(comparisons)
    groups = {
        "language": compare_by(lambda s: s.language, pair.a, pair.b, models),
        "duration": by_duration(pair.a, pair.b, models),
        "speaker": compare_by(lambda s: s.speaker, pair.a, pair.b, models),
    }
    against = [(c.b, f"{100 * c.rate_b:.2f}", *_evidence(c)) for c in comparisons]
    rate = f"{pair.rate_name}, %"
    return [
        ReportTable(f"Against {pair.a}", ("Model", rate, *EVIDENCE), against),
        *(_group_table(name, pair, found) for name, found in groups.items() if found),
    ]


def _group_table(name: str, pair: ModelComparison, found: Sequence[ModelComparison]) -> ReportTable:
    columns = (name.title(), "clips", f"{pair.a}, %", f"{pair.b}, %", *EVIDENCE)
    rows = [
        (c.group, str(c.clips), f"{100 * c.rate_a:.2f}", f"{100 * c.rate_b:.2f}", *_evidence(c))
        for c in found
    ]
    return ReportTable(f"{pair.b} against {pair.a}, by {name}", columns, rows)


def _evidence(comparison: ModelComparison) -> tuple[str, str, str]:
    gain = comparison.improvement
    interval = f"{100 * gain.low:.2f} to {100 * gain.high:.2f}"
    return f"{100 * gain.reduction:.2f}", interval, written_probability(gain)


def overview_table(results: SuiteResults, models: Sequence[str], rate: RateName) -> list[ReportTable]:
    """Return models by suites, one figure of each; none where no suite of single models was run."""
    keys = [key for key in KEY_FIGURES if key.suite in results]
    if not keys:
        return []
    rows = [
        [model, *(written(k.figure, _figure(results[k.suite], model, k.condition, k.figure)) for k in keys)]
        for model in models
    ]
    return [ReportTable(f"Suites: {rate}, %, or as named", ["Model", *(k.heading for k in keys)], rows)]


def _figure(scores: Mapping[str, SuiteScores], model: str, condition: str, figure: str) -> float | None:
    found = scores.get(model)
    return found.conditions.get(condition, {}).get(figure) if found else None


def suite_tables(results: SuiteResults, rate: RateName) -> list[ReportTable]:
    """Return a table for each suite: a row for each condition and model."""
    return [_suite_table(suite, scores, rate) for suite, scores in results.items()]


def _suite_table(suite: SuiteName, scores: Mapping[str, SuiteScores], rate: RateName) -> ReportTable:
    figures = list(dict.fromkeys(f for s in scores.values() for c in s.conditions.values() for f in c))
    conditions = dict.fromkeys(c for s in scores.values() for c in s.conditions)
    rows = [
        [condition, model, *(written(f, _figure(scores, model, condition, f)) for f in figures)]
        for condition in conditions
        for model, its in scores.items()
        if condition in its.conditions
    ]
    columns = ["", "Model", *(heading(f, rate) for f in figures)]
    return ReportTable(SUITE_HEADINGS[suite].format(rate=rate), columns, rows)


def suite_notes(results: SuiteResults) -> list[str]:
    """Return why a suite has no figures, for each that has none."""
    return [
        f"{suite}{f' of {model}' if model else ''}: not scored, {its.note}."
        for suite, scores in results.items()
        for model, its in scores.items()
        if its.note
    ]


def noise_plots(results: SuiteResults, rate: RateName) -> dict[str, Markup]:
    """Draw the error rate by signal-to-noise ratio, one plot for each kind of noise."""
    scores = results.get("noise", {})
    kinds = dict.fromkeys(kind for s in scores.values() for kind in s.conditions)
    plots = {}
    for kind in kinds:
        rates = {m: s.conditions[kind] for m, s in scores.items() if kind in s.conditions}
        heading = "In white noise" if kind == "white" else f"In {kind}"
        plots[heading] = Markup(wer_by_snr(rates, kind, rate))  # matplotlib escapes the text in it
    return plots


def suite_values(results: SuiteResults) -> dict[str, Any]:
    """Return all figures, by suite, model and condition."""
    return {
        suite: {
            model: {"note": its.note} if its.note else dict(its.conditions) for model, its in scores.items()
        }
        for suite, scores in results.items()
    }


def write_scores(file: Path, values: Mapping[str, Any], rejected: Sequence[Rejected]) -> Path:
    """Write `values` and what was rejected as JSON."""
    whole = {**values, "rejected_clips": [asdict(r) for r in rejected]}
    file.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    return file
