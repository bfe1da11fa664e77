"""Plots of scores as inline SVG, in the page's own text colour and font, so that they suit light and dark."""

import io
import re
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from voxray.scoring.comparison import DURATIONS_S, Models, duration_range, range_of
from voxray.scoring.metrics import ClipScore, RateName, Summary, pooled, rate_name

COLOURS = ("#3d7fc1", "#d9782d", "#4a9a6b", "#a05fb4")
"""One per model, in order; legible on white and on near-black."""

INK = "#010203"  # stands for the page's text colour until the SVG is written
RATES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)  # per cent
MAX_SPEAKERS = 20
MARKED = 40  # points of a curve that can still be told apart
MOST_LETTERS = 56  # on a line of the legend


def wer_by_duration(models: Models) -> str:
    """Draw the pooled error rate of the clips in each range of durations, a bar per model."""
    occupied = [i for i in range(len(DURATIONS_S)) if any(_in_range(s, i) for s in models.values())]
    first = next(iter(models.values()))
    labels = [f"{duration_range(i)}\nn = {len(_in_range(first, i))}" for i in occupied]
    rates = {
        name: [100 * pooled([s.errors for s in _in_range(scores, i)]).rate for i in occupied]
        for name, scores in models.items()
    }
    figure, axes = new_figure(3.0)
    _grouped_bars(axes, labels, rates)
    axes.set_xlabel("clip duration")
    axes.set_ylabel(f"{rate_name(first)}, %")
    return to_svg(figure, "duration", f"{rate_name(first)} by clip duration")


def wer_by_speaker(models: Mapping[str, Mapping[str, Summary]], name: RateName = "WER") -> str:
    """Draw each speaker's error rate, a bar per model; the worst speakers of the last model, at most 20."""
    last = list(models.values())[-1]
    speakers = sorted(last, key=lambda s: last[s].wer)[-MAX_SPEAKERS:]
    figure, axes = new_figure(0.9 + 0.28 * len(speakers) * max(1.0, 0.6 * len(models)))
    height = 0.8 / len(models)
    for i, (model, by_name) in enumerate(models.items()):
        at = [k - 0.4 + height * (len(models) - i - 0.5) for k in range(len(speakers))]
        rates = [100 * by_name[s].wer if s in by_name else 0.0 for s in speakers]
        axes.barh(at, rates, height * 0.92, color=COLOURS[i % len(COLOURS)], label=model)
    axes.set_yticks(range(len(speakers)), [_plain(s) for s in speakers])
    axes.set_xlabel(f"{name}, %")
    axes.grid(axis="x", alpha=0.2)
    legend(axes, len(models))
    return to_svg(figure, "speaker", f"{name} by speaker")


def wer_histogram(models: Models) -> str:
    """Draw how many clips have which error rate; the last bar holds 100 % and more."""
    name = rate_name(next(iter(models.values())))
    labels = ["0", *(f"≤{b}" for b in RATES[1:-1]), "<100", "100+"]
    counts = {model: _histogram(scores) for model, scores in models.items()}
    figure, axes = new_figure(3.0)
    _grouped_bars(axes, labels, counts)
    axes.set_xlabel(f"{name} of the clip, %")
    axes.set_ylabel("clips")
    return to_svg(figure, "histogram", f"Number of clips by {name}")


def step_curves(
    curves: Mapping[str, Mapping[int, float]],
    y_label: str,
    title: str,
    *,
    level: tuple[str, float] | None = None,
    top: float | None = None,
) -> str:
    """Draw values by optimiser step; `level` is a named value beside them, and the axis ends at `top`."""
    figure, axes = new_figure(3.0)
    for i, (name, values) in enumerate(curves.items()):
        marker = "." if len(values) <= MARKED else ""
        axes.plot([*values], [*values.values()], marker=marker, color=COLOURS[i % len(COLOURS)], label=name)
    drawn = [value for values in curves.values() for value in values.values()]
    if level:
        axes.axhline(level[1], color=INK, linewidth=1, linestyle="--", label=level[0])
        drawn.append(level[1])
    highest = 1.08 * max(drawn)
    axes.set_ylim(0, min(highest, top or highest) or 1.0)
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.2)
    legend(axes, len(curves) + bool(level))
    return to_svg(figure, title.lower().replace(" ", "-"), title)


def wer_by_snr(models: Mapping[str, Mapping[str, float | None]], kind: str, name: RateName = "WER") -> str:
    """Draw the error rate, in per cent, by signal-to-noise ratio, a line per model; ratios as in `10 dB`."""
    figure, axes = new_figure(3.0)
    for i, (model, rates) in enumerate(models.items()):
        points = {int(snr.removesuffix(" dB")): rate for snr, rate in rates.items() if rate is not None}
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(list(points), list(points.values()), marker="o", ms=4, color=colour, label=model)
    axes.invert_xaxis()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("signal-to-noise ratio, dB")
    axes.set_ylabel(f"{name}, %")
    axes.grid(axis="y", alpha=0.2)
    legend(axes, len(models))
    return to_svg(figure, f"noise-{kind}", f"{name} in {kind} by signal-to-noise ratio")


def _histogram(scores: Sequence[ClipScore]) -> list[float]:
    counts = [0.0] * (len(RATES) + 1)
    for s in scores:
        rate = 100 * s.errors.rate
        place = 0 if rate == 0 else next((i for i, top in enumerate(RATES) if i and rate <= top), len(RATES))
        counts[len(RATES) if rate >= 100 else place] += 1
    return counts


def _in_range(scores: Sequence[ClipScore], i: int) -> list[ClipScore]:
    return [s for s in scores if range_of(s) == i]


def new_figure(height: float) -> tuple[Figure, Axes]:
    """Return a figure of `height` inches on a clear ground, and its axes."""
    figure = Figure(figsize=(5.6, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return figure, axes


def _grouped_bars(axes: Axes, labels: Sequence[str], heights: Mapping[str, Sequence[float]]) -> None:
    width = 0.8 / len(heights)
    for i, (name, values) in enumerate(heights.items()):
        at = [k - 0.4 + width * (i + 0.5) for k in range(len(labels))]
        axes.bar(at, values, width * 0.92, color=COLOURS[i % len(COLOURS)], label=name)
    axes.set_xticks(range(len(labels)), labels)
    axes.grid(axis="y", alpha=0.2)
    legend(axes, len(heights))


def legend(axes: Axes, models: int) -> None:
    """Put the legend above the axes where there is more than one model."""
    if models > 1:  # above the axes, where no bar reaches
        handles, names = axes.get_legend_handles_labels()
        short = [_shortened(name) for name in names]
        axes.legend(
            handles,
            short,
            frameon=False,
            labelcolor=INK,
            fontsize=9,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=2 if max(map(len, short)) < MOST_LETTERS // 2 else 1,
            borderaxespad=0.2,
        )


def _shortened(name: str) -> str:
    """Return the end of a name that is too long for one line, such as a path."""
    return name if len(name) <= MOST_LETTERS else f"\u2026{name[1 - MOST_LETTERS :]}"


def _plain(text: str) -> str:
    """Escape what matplotlib would read as mathematics."""
    return text.replace("$", r"\$")


def to_svg(figure: Figure, name: str, title: str) -> str:
    """Write the figure as an SVG element; its ids begin with `name`, so that a page can hold several."""
    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    svg = out.getvalue()[out.getvalue().index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 role="img" aria-label="{title}"', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    return svg.replace(INK, "currentColor")
