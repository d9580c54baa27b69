"""A picture of a sweep: its measures as curves, and what each value makes of a healthy slice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from uad_bench.method import TISSUES, FloatArray
from uad_bench.report.figures.cells import png
from uad_bench.report.figures.sweep import DICE, Sweep, Value, shown
from uad_bench.report.tables.notes import people_in_words

_DPI = 110
_PANEL, _LEAST_WIDTH = 1.5, 9.0
_LEFT, _RIGHT, _HEAD, _CURVES, _BELOW, _FOOT = 1.15, 0.15, 0.62, 1.65, 0.95, 0.3
"""Inches: margins, the title's strip, the curves, the gap below them, and the foot."""
_GAP = 0.03
_MARGIN = 3
_INKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"))
"""Okabe and Ito's colours, which colour-blind people can tell apart, with a shape each."""
_TITLES = {"L1": "L1 ↓", "KL": "KL in nats ↓", "SSIM": "SSIM ↑"}
_MANY_TIMES = 30.0
"""A measure whose values differ by more than this factor gets a logarithmic axis."""
_MOST_UPRIGHT = 5
_SCORES = "inferno"
_EVERY = ("reconstruction", "residual")
"""The rows of every picture; those of the tissues follow."""


def sweep_picture(sweep: Sweep) -> bytes:
    """Draw the measures against the value, and below them one column of slices per value.

    The first column is the slice itself with its true tissues. Points are means over the seeds,
    bars reach from the lowest to the highest.

    Args:
        sweep: what was measured.

    Returns:
        A PNG file's bytes; the same from the same sweep.
    """
    box = _box(sweep)
    rows: tuple[str, ...] = _EVERY
    if any(view.tissues is not None for view in sweep.shown.views.values()):
        rows += TISSUES
    columns = len(sweep.values) + 1
    wide = max(columns * _PANEL, _LEAST_WIDTH - _LEFT - _RIGHT)
    high, across = (one.stop - one.start for one in box)
    tall = len(rows) * _PANEL * high / across
    width, height = _LEFT + wide + _RIGHT, _HEAD + _CURVES + _BELOW + tall + _FOOT
    figure = Figure(figsize=(width, height), dpi=_DPI)
    figure.text(0.5, 1 - 0.2 / height, sweep.heading, ha="center", va="center", fontsize=12)
    names = [name for name in sweep.names if not name.startswith(DICE)]
    dice = [name for name in sweep.names if name.startswith(DICE)]
    panels = [([name], _TITLES.get(name, name)) for name in names]
    panels += [(dice, "Dice of tissue maps ↑")] if dice else []
    curves = figure.add_gridspec(
        1,
        max(len(panels), 1),
        left=0.6 / width,
        right=1 - _RIGHT / width,
        top=1 - _HEAD / height,
        bottom=1 - (_HEAD + _CURVES) / height,
        wspace=0.33,
    )
    for at, (some, title) in enumerate(panels):
        _curve(figure.add_subplot(curves[at]), sweep, some, title)
    grid = figure.add_gridspec(
        len(rows),
        columns,
        left=_LEFT / width,
        right=(_LEFT + columns * _PANEL) / width,
        top=(tall + _FOOT) / height,
        bottom=_FOOT / height,
        wspace=_GAP,
        hspace=_GAP,
    )
    axes = [[figure.add_subplot(grid[r, c]) for c in range(columns)] for r in range(len(rows))]
    _slices(figure, axes, sweep, box, rows)
    figure.text(0.1 / width, 0.1 / height, _foot(sweep), fontsize=7, va="bottom")
    return png(figure)


def _foot(sweep: Sweep) -> str:
    """What the curves and slices stand on."""
    parts = [f"Means over {people_in_words(sweep.measured.subjects)}, split {sweep.split}"]
    if "KL" in sweep.names:
        parts.append("KL on validation slices in training")
    if len(sweep.seeds) > 1:
        parts.append(f"mean and range of {len(sweep.seeds)} seeds, slices of the first")
    return "; ".join([*parts, f"slice of {sweep.shown.scan}"])


def _box(sweep: Sweep) -> tuple[slice, slice]:
    """The rows and columns that hold the brain, with a margin."""
    brain = sweep.shown.brain
    sides = []
    for axis, size in ((1, brain.shape[0]), (0, brain.shape[1])):
        found = np.flatnonzero(brain.any(axis=axis))
        low, high = (found[0], found[-1]) if len(found) else (0, size - 1)
        sides.append(slice(max(0, int(low) - _MARGIN), min(size, int(high) + 1 + _MARGIN)))
    return sides[0], sides[1]


def _curve(axes: Axes, sweep: Sweep, names: Sequence[str], title: str) -> None:
    """Draw one measure, or several that share a scale, against the value."""
    places = _places(axes, sweep)
    drawn: list[float] = []
    for name, (ink, shape) in zip(names, _INKS, strict=False):
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
            markersize=4,
            linestyle="-" if sweep.numbers else "",
            linewidth=1.3,
            elinewidth=1.0,
            capsize=2.5,
            label=name.removeprefix(DICE),
        )
        drawn += ends.ravel().tolist()
    if len(names) > 1:
        axes.set_ylim(-0.03, 1.03)
        axes.legend(fontsize=7, frameon=False, loc="best")
    elif drawn and min(drawn) > 0 and max(drawn) / min(drawn) > _MANY_TIMES:
        axes.set_yscale("log")
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(sweep.param, fontsize=8)
    axes.tick_params(which="both", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


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
    box: tuple[slice, slice],
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
        row[0].text(-0.05, 0.5, name, transform=beside, va="center", ha="right", fontsize=9)
    _grey(axes[0][0], image[box])
    known = len(rows) > len(_EVERY) and sweep.shown.tissues is not None
    title = "healthy slice\nand its tissues" if known else "healthy slice"
    axes[0][0].set_title(title, fontsize=9)
    _all_tissues(axes, 0, sweep.shown.tissues, box)
    heat = None
    for column, value in enumerate(sweep.values, start=1):
        axes[0][column].set_title(f"{sweep.param} {_label(value)}", fontsize=9)
        view = views.get(value)
        if view is None:
            axes[0][column].text(
                0.5, 0.5, "failed", transform=axes[0][column].transAxes, ha="center", fontsize=9
            )
            continue
        _grey(axes[0][column], view.reconstruction[box])
        heat = axes[1][column].imshow(
            residuals[value][box], cmap=_SCORES, vmin=0.0, vmax=top or 1.0, interpolation="nearest"
        )
        _all_tissues(axes, column, view.tissues, box)
    if heat is not None:
        _scale(figure, axes[1][0], heat)


def _all_tissues(
    axes: Sequence[Sequence[Axes]],
    column: int,
    tissues: FloatArray | None,
    box: tuple[slice, slice],
) -> None:
    for row, tissue in zip(axes[len(_EVERY) :], () if tissues is None else tissues, strict=False):
        _grey(row[column], tissue[box])


def _scale(figure: Figure, axes: Axes, heat: AxesImage) -> None:
    """Put the scale of the residuals where the healthy slice has none."""
    place = axes.inset_axes((0.15, 0.45, 0.7, 0.06))
    bar = figure.colorbar(heat, cax=place, orientation="horizontal")
    bar.ax.tick_params(labelsize=7)
    axes.text(
        0.5, 0.62, "|slice − reconstruction|", transform=axes.transAxes, ha="center", fontsize=7
    )


def _grey(axes: Axes, image: FloatArray) -> None:
    axes.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
