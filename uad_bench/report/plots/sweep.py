"""A sweep: its measures as curves, and what each value makes of a healthy slice."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from uad_bench.method import TISSUES, FloatArray
from uad_bench.report.figures.sweep import DICE, Sweep, Value, shown
from uad_bench.report.plots.slices import SCORES, Box, around, grey
from uad_bench.report.plots.style import LETTERS_PER_INCH, PAGE, Dashes
from uad_bench.report.tables.notes import people_in_words

_SMALL = 7

_MOST_SIDE, _MOST_HEIGHT = 1.3, 8.8
_LEFT, _RIGHT, _HEAD, _CURVES, _BELOW, _LINE = 0.72, 0.08, 0.42, 1.2, 0.78, 0.14
"""Inches: margins, the title's strip, the curves, the gap below them, and a line of the foot."""
_TURNED, _LETTER = 0.75, 0.05
"""Inches: the gap below curves whose values are turned, without and for each of their letters."""
_GAP = 0.03
_INKS: tuple[tuple[str, str, Dashes], ...] = (
    ("#0072b2", "o", "-"),
    ("#d55e00", "s", "--"),
    ("#009e73", "^", ":"),
)
"""Okabe and Ito's colours, which colour-blind people can tell apart, with a shape and dashes."""
_TITLES = {"L1": "L1 ↓", "KL": "KL in nats ↓", "SSIM": "SSIM ↑"}
_MANY_TIMES = 30.0
"""A measure whose values differ by more than this factor gets a logarithmic axis."""
_MOST_UPRIGHT = 4
_EVERY = ("reconstruction", "residual")
"""The rows of every figure; those of the tissues follow."""


def sweep_figure(sweep: Sweep) -> Figure:
    """Draw the measures against the value, and below them one column of slices per value.

    The first column is the slice itself with its true tissues. Points are means over the seeds,
    bars reach from the lowest to the highest.

    Args:
        sweep: what was measured.
    """
    box = around(sweep.shown.brain)
    rows: tuple[str, ...] = _EVERY
    if any(view.tissues is not None for view in sweep.shown.views.values()):
        rows += TISSUES
    columns = len(sweep.values) + 1
    lines = wrap(_foot(sweep), int(PAGE * LETTERS_PER_INCH))
    foot = 0.1 + _LINE * len(lines)
    above = _HEAD + _CURVES + _below(sweep)
    high, across = (one.stop - one.start for one in box)
    rows_per_side = len(rows) * high / across
    side = min(
        _MOST_SIDE,
        (PAGE - _LEFT - _RIGHT) / columns,
        (_MOST_HEIGHT - above - foot) / rows_per_side,
    )
    tall, left = rows_per_side * side, max(_LEFT, (PAGE - columns * side) / 2)
    height = above + tall + foot
    figure = Figure(figsize=(PAGE, height))
    title = figure.text(0.5, 1 - 0.12 / height, sweep.heading, ha="center", va="center")
    title.set_parse_math(False)
    names = [name for name in sweep.names if not name.startswith(DICE)]
    dice = [name for name in sweep.names if name.startswith(DICE)]
    panels = [([name], _TITLES.get(name, name)) for name in names]
    panels += [(dice, "Dice of tissue maps ↑")] if dice else []
    curves = figure.add_gridspec(
        1,
        max(len(panels), 1),
        left=0.42 / PAGE,
        right=1 - _RIGHT / PAGE,
        top=1 - _HEAD / height,
        bottom=1 - (_HEAD + _CURVES) / height,
        wspace=0.36,
    )
    for at, (some, name) in enumerate(panels):
        _curve(figure.add_subplot(curves[at]), sweep, some, name)
    grid = figure.add_gridspec(
        len(rows),
        columns,
        left=left / PAGE,
        right=(left + columns * side) / PAGE,
        top=(tall + foot) / height,
        bottom=foot / height,
        wspace=_GAP,
        hspace=_GAP,
    )
    axes = [[figure.add_subplot(grid[r, c]) for c in range(columns)] for r in range(len(rows))]
    _slices(figure, axes, sweep, box, rows)
    text = figure.text(0.5, 0.04 / height, "\n".join(lines), ha="center", va="bottom")
    text.set_fontsize(_SMALL)
    text.set_parse_math(False)
    return figure


def _below(sweep: Sweep) -> float:
    """The gap below the curves: values that are turned reach further down."""
    if len(sweep.values) <= _MOST_UPRIGHT:
        return _BELOW
    written = (re.sub(r"[${}^]", "", _label(value)) for value in sweep.values)
    return _TURNED + _LETTER * max(map(len, written))


def _foot(sweep: Sweep) -> str:
    """What the curves and slices stand on."""
    parts = [f"Means over {people_in_words(sweep.measured.subjects)}, split {sweep.split}"]
    if "KL" in sweep.names:
        parts.append("KL on validation slices in training")
    if len(sweep.seeds) > 1:
        parts.append(f"mean and range of {len(sweep.seeds)} seeds, slices of the first")
        trained = {one.value for one in sweep.trainings if not one.reason}
        lost = [f"{shown(o.value)} with seed {o.seed}" for o in sweep.failed if o.value in trained]
        if lost:
            parts.append(f"without {', '.join(lost)}, whose training failed")
    return "; ".join([*parts, f"slice of {sweep.shown.scan}"])


def _curve(axes: Axes, sweep: Sweep, names: Sequence[str], title: str) -> None:
    """Draw one measure, or several that share a scale, against the value."""
    places = _places(axes, sweep)
    drawn: list[float] = []
    for name, (ink, shape, dashes) in zip(names, _INKS, strict=False):
        found = [
            (at, seeds)
            for at, value in zip(places, sweep.values, strict=True)
            if (seeds := sweep.over_seeds(value, name))
        ]
        if not found:
            continue
        at = [place for place, _ in found]
        means = np.array([np.mean(seeds) for _, seeds in found])
        ends = np.array([[min(seeds), max(seeds)] for _, seeds in found]).T
        axes.errorbar(
            at,
            means,
            yerr=np.abs(ends - means),
            color=ink,
            marker=shape,
            linestyle=dashes if sweep.numbers else "",
            elinewidth=0.8,
            capsize=2,
            label=name.removeprefix(DICE),
        )
        drawn += ends.ravel().tolist()
    if len(names) > 1:
        axes.set_ylim(-0.03, 1.35)  # the legend stands above all that a Dice can be
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.legend(
            frameon=False,
            loc="upper center",
            ncols=len(names),
            borderaxespad=0,
            handlelength=1.2,
            handletextpad=0.3,
            columnspacing=0.7,
        )
    elif drawn and min(drawn) > 0 and max(drawn) / min(drawn) > _MANY_TIMES:
        axes.set_yscale("log")
    axes.set_title(title)
    axes.set_xlabel(sweep.param, parse_math=False)


def _places(axes: Axes, sweep: Sweep) -> tuple[float, ...]:
    """Set up the axis of the values, and return where each stands on it."""
    numbers = sweep.numbers or tuple(float(at) for at in range(len(sweep.values)))
    if sweep.log and min(numbers) > 0:
        axes.set_xscale("log")
    elif sweep.log:  # 0 stands a decade below the smallest value that is not 0
        axes.set_xscale("symlog", linthresh=min(value for value in numbers if value > 0))
    else:
        axes.margins(x=0.15)
    axes.set_xticks(numbers, [_label(value) for value in sweep.values], minor=False)
    axes.set_xticks([], minor=True)
    if len(numbers) > _MOST_UPRIGHT:
        axes.tick_params(axis="x", rotation=60)
    return numbers


def _label(value: Value) -> str:
    """A value as a picture writes it: powers of ten as such where that is shorter."""
    if isinstance(value, float) and 0 < value <= 1e-2:
        exponent = math.floor(math.log10(value) + 1e-9)
        factor = f"{value / 10**exponent:.3g}"
        return f"$10^{{{exponent}}}$" if factor == "1" else f"${factor}·10^{{{exponent}}}$"
    return shown(value)


def _slices(
    figure: Figure,
    axes: Sequence[Sequence[Axes]],
    sweep: Sweep,
    box: Box,
    rows: Sequence[str],
) -> None:
    """Fill the panels: the slice and its true tissues, then what each value makes of it."""
    image, views = sweep.shown.image, sweep.shown.views
    residuals = {value: np.abs(image - view.reconstruction) for value, view in views.items()}
    top = max((float(one.max()) for one in residuals.values()), default=1.0)
    for row, name in zip(axes, rows, strict=True):
        for one in row:
            one.set_axis_off()
        beside = row[0].transAxes
        row[0].text(-0.05, 0.5, name, transform=beside, va="center", ha="right", fontsize=_SMALL)
    grey(axes[0][0], image[box])
    known = len(rows) > len(_EVERY) and sweep.shown.tissues is not None
    title = "healthy slice\nand its tissues" if known else "healthy slice"
    axes[0][0].set_title(title, fontsize=_SMALL)
    _all_tissues(axes, 0, sweep.shown.tissues, box)
    heat = None
    for column, value in enumerate(sweep.values, start=1):
        axes[0][column].set_title(f"{sweep.param}\n{_label(value)}", fontsize=_SMALL)
        view = views.get(value)
        if view is None:
            beside = axes[0][column].transAxes
            axes[0][column].text(0.5, 0.5, "failed", transform=beside, ha="center", fontsize=_SMALL)
            continue
        grey(axes[0][column], view.reconstruction[box])
        heat = axes[1][column].imshow(
            residuals[value][box], cmap=SCORES, vmin=0.0, vmax=top or 1.0, interpolation="nearest"
        )
        _all_tissues(axes, column, view.tissues, box)
    if heat is not None:
        _scale(figure, axes[1][0], heat)


def _all_tissues(
    axes: Sequence[Sequence[Axes]],
    column: int,
    tissues: FloatArray | None,
    box: Box,
) -> None:
    for row, tissue in zip(axes[len(_EVERY) :], () if tissues is None else tissues, strict=False):
        grey(row[column], tissue[box])


def _scale(figure: Figure, axes: Axes, heat: AxesImage) -> None:
    """Put the scale of the residuals where the healthy slice has none."""
    place = axes.inset_axes((0.15, 0.45, 0.7, 0.06))
    bar = figure.colorbar(heat, cax=place, orientation="horizontal")
    bar.ax.tick_params(labelsize=_SMALL)
    axes.text(
        0.5, 0.62, "|slice −\nreconstruction|", transform=axes.transAxes, ha="center", fontsize=6
    )
