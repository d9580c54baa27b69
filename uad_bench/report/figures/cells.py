"""Pictures of single slices: what a detector saw, what it made of it, and where it points.

Drawn with matplotlib's object interface on the Agg canvas: no global state, no display, the same
bytes from the same arrays. Row 0 of an array is anterior, column 0 the patient's right.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.report.letters import spell_missing

_LESION = "#E69F00"
_IGNORED = "#56B4E9"
_ON_SCORES = "#00E5FF"
_WARNING = "#B00020"
_SCORES = "inferno"
_MARGIN = 3
_DPI = 110

Image = NDArray[Any]


@dataclass(frozen=True, slots=True)
class MethodView:
    """What one method made of a slice.

    Attributes:
        title: the method's title.
        score: ``[H, W]``, at least 0, higher where more anomalous.
        reconstruction: ``[H, W]`` in [0, 1]; ``None`` for a method that makes none.
    """

    title: str
    score: Image
    reconstruction: Image | None = None


@dataclass(frozen=True, slots=True)
class SliceView:
    """One slice and what the methods made of it.

    Attributes:
        title: dataset and scan.
        simulated: whether the slice is a phantom's.
        image: ``[H, W]`` in [0, 1].
        lesion: ``[H, W]``; 0 healthy, 1 lesion, 2 ignored.
        methods: the same methods in the same order for every slice of a picture.
    """

    title: str
    simulated: bool
    image: Image
    lesion: Image
    methods: tuple[MethodView, ...]


def cell_picture(
    image: Image,
    lesion: Image,
    reconstruction: Image | None,
    score: Image,
    *,
    title: str,
    simulated: bool,
    outline: str = "lesion outline",
    warnings: Sequence[str] = (),
) -> bytes:
    """Draw one slice, cropped to the brain: input, lesion outline, reconstruction and score.

    Args:
        image: ``[H, W]`` in [0, 1].
        lesion: ``[H, W]``; 0 healthy, 1 lesion, 2 ignored.
        reconstruction: ``[H, W]`` in [0, 1]; its panel is left out where there is none.
        score: ``[H, W]``, at least 0.
        title: what the slice is, without the word simulated.
        simulated: whether the slice is a phantom's; the picture then says so.
        outline: what ``lesion`` is, above its panel.
        warnings: what a reader must know of the slice, below the panels.

    Returns:
        A PNG file's bytes.

    Raises:
        UadBenchError: if the arrays are not of one two-dimensional shape.
    """
    view = SliceView("", simulated, image, lesion, (MethodView("", score, reconstruction),))
    _check([view])
    count = 3 if reconstruction is None else 4
    figure = Figure(figsize=(2.6 * count + 0.6, 3.5), dpi=_DPI, layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, count)))
    shown_title = f"{title} (simulated)" if simulated else title
    figure.suptitle("\n".join(wrap(shown_title, 28 * count)), fontsize=11, parse_math=False)
    if warnings:
        lines = [line for one in warnings for line in wrap(f"Warning: {one}", 34 * count)]
        figure.supxlabel("\n".join(lines), fontsize=9, color=_WARNING, parse_math=False)
    box = _brain_box([image])
    _grey(axes[0], image[box], "input")
    _grey(axes[1], image[box], outline)
    _outline(axes[1], lesion[box])
    if reconstruction is not None:
        _grey(axes[2], reconstruction[box], "reconstruction")
    shown = _heat(axes[-1], score[box], "anomaly score", float(np.max(score)))
    bar = figure.colorbar(shown, ax=axes[-1], fraction=0.046, pad=0.03)
    bar.ax.tick_params(labelsize=8)
    return png(figure)


def results_picture(slices: Sequence[SliceView]) -> bytes:
    """Draw slices of several datasets below each other, all methods side by side.

    Columns are the input, the lesion outline, and per method its reconstruction, where it
    makes one, and its score. A method has one score scale for all slices, given by the bar below.

    Args:
        slices: one row each.

    Returns:
        A PNG file's bytes.

    Raises:
        UadBenchError: if there is no slice, or they differ in shape or in their methods.
    """
    _check(slices)
    titles = [method.title for method in slices[0].methods]
    rebuilt = [
        all(one.methods[index].reconstruction is not None for one in slices)
        for index in range(len(titles))
    ]
    tops = [
        max(float(np.max(one.methods[index].score)) for one in slices)
        for index in range(len(titles))
    ]
    rows, columns = len(slices), 2 + len(titles) + sum(rebuilt)
    box = _brain_box([one.image for one in slices])
    figure, axes, bars = _grid(rows, columns, box)
    for row, (one, line) in enumerate(zip(slices, axes, strict=True)):
        first = row == 0
        _grey(line[0], one.image[box], "input" if first else "")
        name = f"{one.title}\n(simulated)" if one.simulated else one.title
        line[0].set_ylabel(name, fontsize=9, parse_math=False)
        _grey(line[1], one.image[box], "lesion outline" if first else "")
        _outline(line[1], one.lesion[box])
        at = 2
        for index, method in enumerate(one.methods):
            if rebuilt[index] and method.reconstruction is not None:
                heading = f"{method.title}\nreconstruction" if first else ""
                _grey(line[at], method.reconstruction[box], heading)
                at += 1
            heading = f"{method.title}\nscore" if first else ""
            shown = _heat(line[at], method.score[box], heading, tops[index])
            if first:
                bar = figure.colorbar(shown, cax=bars[at], orientation="horizontal")
                bar.locator = MaxNLocator(3)
                bar.update_ticks()
                bar.ax.tick_params(labelsize=7)
                bars[at].set_axis_on()
            at += 1
    return png(figure)


def lesion_picture(view: SliceView, columns: int = 6) -> bytes:
    """Draw one slice and the anomaly map of many methods, row after row, the lesion outlined.

    Every map has a scale of its own, up to the largest score of the slice.

    Args:
        view: the slice and its methods; reconstructions are not shown.
        columns: panels per row.

    Returns:
        A PNG file's bytes.

    Raises:
        UadBenchError: if there is no method, or the arrays differ in shape.
    """
    _check([view])
    if not view.methods:
        raise UadBenchError("a picture of a lesion needs at least one method")
    box = _brain_box([view.image])
    rows = -(-(2 + len(view.methods)) // columns)
    figure, axes, _ = _grid(rows, columns, box, below=0.24)
    panels = [one for line in axes for one in line]
    _grey(panels[0], view.image[box], "input")
    _grey(panels[1], view.image[box], "lesion outline")
    _outline(panels[1], view.lesion[box])
    for panel, method in zip(panels[2:], view.methods, strict=False):
        _heat(panel, method.score[box], method.title, float(np.max(method.score)))
        _outline(panel, view.lesion[box], _ON_SCORES)
    for panel in panels[2 + len(view.methods) :]:
        panel.set_axis_off()
    name = f"{view.title} (simulated)" if view.simulated else view.title
    above = 1 - 0.06 / figure.get_figheight()  # all panels
    figure.suptitle(name, fontsize=10, y=above, parse_math=False)
    return png(figure)


def _grid(
    rows: int, columns: int, box: tuple[slice, slice], below: float = 0.04
) -> tuple[Figure, list[list[Axes]], list[Axes]]:
    """A figure with close panels and below each column a strip for a colour bar, hidden.

    Args:
        rows: of panels.
        columns: of panels.
        box: what a panel shows of its slice.
        below: inches between two rows.
    """
    height, width = (one.stop - one.start for one in box)
    panel, gap, left, top, bottom = 1.45, 0.04, 0.5, 0.45, 0.4
    tall = panel * height / width
    inches = (
        left + columns * (panel + gap),
        top + rows * (tall + below) + bottom,
    )
    figure = Figure(figsize=inches, dpi=_DPI)

    def place(row: float, column: int, high: float) -> Axes:
        x = left + column * (panel + gap)
        y = inches[1] - top - row * (tall + below) - high
        return figure.add_axes((x / inches[0], y / inches[1], panel / inches[0], high / inches[1]))

    axes = [[place(row, column, tall) for column in range(columns)] for row in range(rows)]
    bars = [place(rows, column, 0.09) for column in range(columns)]
    for bar in bars:
        bar.set_axis_off()
    return figure, axes, bars


def _check(slices: Sequence[SliceView]) -> None:
    if not slices:
        raise UadBenchError("a picture needs at least one slice")
    titles = [method.title for method in slices[0].methods]
    for one in slices:
        if [method.title for method in one.methods] != titles:
            raise UadBenchError(f"picture of {one.title}: every slice needs the same methods")
        arrays = [one.image, one.lesion, *(method.score for method in one.methods)]
        arrays += [m.reconstruction for m in one.methods if m.reconstruction is not None]
        shapes = {array.shape for array in arrays} | {slices[0].image.shape}
        if len(shapes) > 1 or one.image.ndim != 2:
            raise UadBenchError(
                f"picture of {one.title or 'a slice'}: arrays must share one shape [H, W], "
                f"not {', '.join(map(str, sorted(shapes)))}"
            )


def _brain_box(images: Sequence[Image]) -> tuple[slice, slice]:
    """The smallest box with a margin that holds the brain of every image."""
    inside = np.any([image > 0 for image in images], axis=0)
    if not inside.any():
        inside = np.ones_like(inside)
    ends = []
    for axis in (1, 0):
        found = np.flatnonzero(inside.any(axis=axis))
        ends.append(slice(max(0, int(found[0]) - _MARGIN), int(found[-1]) + 1 + _MARGIN))
    height, width = inside.shape
    return slice(ends[0].start, min(ends[0].stop, height)), slice(
        ends[1].start, min(ends[1].stop, width)
    )


def _bare(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _grey(axes: Axes, image: Image, title: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    _bare(axes, title)


def _heat(axes: Axes, score: Image, title: str, top: float) -> AxesImage:
    shown = axes.imshow(score, cmap=_SCORES, vmin=0.0, vmax=top or 1.0, interpolation="nearest")
    _bare(axes, title)
    return shown


def _outline(axes: Axes, lesion: Image, colour: str = _LESION) -> None:
    """Draw the border of lesion, and dotted that of voxels the evaluation ignores."""
    for label, line, style in ((2, _IGNORED, "dotted"), (1, colour, "solid")):
        inside = np.pad((np.asarray(lesion) == label).astype(np.float64), 1)
        if inside.any():
            at = np.arange(-1, inside.shape[1] - 1), np.arange(-1, inside.shape[0] - 1)
            axes.contour(
                *at, inside, levels=[0.5], colors=[line], linestyles=[style], linewidths=1.2
            )
    height, width = lesion.shape
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, without the metadata that would tell one day from another."""
    canvas = FigureCanvasAgg(figure)
    spell_missing(figure)
    file = io.BytesIO()
    # savefig would draw everything once more before, to lay it out
    canvas.print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return file.getvalue()
