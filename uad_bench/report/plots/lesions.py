"""One lesion per dataset, and what each method makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from uad_bench.errors import UadBenchError
from uad_bench.report.figures.cells import Image, MethodView, SliceView
from uad_bench.report.plots.slices import SCORES, Box, grey, outlined
from uad_bench.report.plots.style import LETTERS_PER_INCH, PAGE

MOST_COLUMNS = 12
"""Panels that a page's width holds."""

_LEAST_SHARE = 0.45
"""A panel shows at least this share of the slice's longer side."""

_LEFT, _TOP, _BETWEEN = 0.28, 0.42, 0.03
_SMALL = 7
_LINE = 0.14
_SHORTEST = len("(simulated)")
"""Letters that the side of the smallest panel holds."""


def lesions_figure(views: Sequence[SliceView], note: str) -> Figure:
    """Draw a row per slice: the whole slice, then all else zoomed on its lesion.

    A method has its reconstruction, where it makes one, and its anomaly map. Each map has a scale
    of its own, up to the largest score that is shown.

    Args:
        views: the slices, with the same methods in the same order.
        note: what a reader must know.

    """
    kinds = list(_kinds(views))
    columns = 2 + len(kinds)
    letters = max(_SHORTEST, int((PAGE - _LEFT) / columns * LETTERS_PER_INCH))
    names = [
        wrap(f"{view.title} (simulated)" if view.simulated else view.title, letters)
        for view in views
    ]
    left = _LEFT + _LINE * (max(map(len, names), default=1) - 1)
    side = (PAGE - left) / columns
    lines = wrap(note, int(PAGE * LETTERS_PER_INCH))
    height = _TOP + len(views) * side + 0.1 + _LINE * len(lines)
    figure = Figure(figsize=(PAGE, height))
    for row, view in enumerate(views):
        box = zoomed(view.lesion)
        line = [
            figure.add_axes(
                (
                    (left + column * side) / PAGE,
                    1 - (_TOP + (row + 1) * side) / height,
                    (side - _BETWEEN) / PAGE,
                    (side - _BETWEEN) / height,
                )
            )
            for column in range(columns)
        ]
        titles = ["slice", "lesion", *(title for title, _, _ in kinds)] if not row else []
        for panel, title in zip(line, titles, strict=False):
            panel.set_title(title, fontsize=_SMALL, parse_math=False)
        for panel in line:
            panel.set_xticks([])
            panel.set_yticks([])
        _whole(line[0], view, box)
        grey(line[1], view.image[box])
        outlined(line[1], view.lesion[box])
        for panel, (_, method, rebuilt) in zip(line[2:], kinds, strict=True):
            found = view.methods[method]
            if rebuilt and found.reconstruction is not None:
                grey(panel, found.reconstruction[box])
            else:
                top = float(found.score[box].max()) or 1.0
                panel.imshow(found.score[box], cmap=SCORES, vmin=0.0, vmax=top)
        line[0].set_ylabel("\n".join(names[row]), fontsize=_SMALL, parse_math=False)
    text = figure.text(0.5, 0.04 / height, "\n".join(lines), ha="center", va="bottom")
    text.set_fontsize(_SMALL)
    text.set_parse_math(False)
    return figure


def too_many(panels: int) -> bool:
    """Whether more panels than fit are beside the slice and its lesion.

    Args:
        panels: reconstructions and maps.
    """
    return panels + 2 > MOST_COLUMNS


def refuse_too_many(panels: int) -> None:
    """Refuse more panels than fit beside the slice and its lesion.

    Args:
        panels: reconstructions and maps.

    Raises:
        UadBenchError: saying how many do.
    """
    if too_many(panels):
        raise UadBenchError(
            f"figure lesions: {panels + 2} panels do not fit side by side, {MOST_COLUMNS} do; "
            "choose with --methods, --postprocessing and --controls"
        )


def zoomed(lesion: Image) -> Box:
    """Return a square around the lesion, in the slice as far as it can be.

    Args:
        lesion: ``[H, W]``, 1 where the lesion is; the whole slice is shown where there is none.
    """
    places = np.argwhere(np.asarray(lesion) == 1)
    if not len(places):
        return slice(0, lesion.shape[0]), slice(0, lesion.shape[1])
    low, high = places.min(axis=0), places.max(axis=0) + 1
    side = max(int(1.6 * (high - low).max()), round(_LEAST_SHARE * max(lesion.shape)))
    ends = []
    for start, stop, size in zip(low, high, lesion.shape, strict=True):
        wide = min(side, size)
        first = min(max(0, int(start + stop - wide) // 2), size - wide)
        ends.append(slice(first, first + wide))
    return ends[0], ends[1]


def _kinds(views: Sequence[SliceView]) -> Iterator[tuple[str, int, bool]]:
    """Yield the columns of the methods: title, which method, and whether its reconstruction."""
    for at, method in enumerate(views[0].methods):
        every: list[MethodView] = [view.methods[at] for view in views]
        if all(one.reconstruction is not None for one in every):
            yield f"{method.title}\nreconstruction", at, True
        yield f"{method.title}\nmap", at, False


def _whole(panel: Axes, view: SliceView, box: Box) -> None:
    """Draw the slice in a square, and a frame around what the other panels show."""
    grey(panel, view.image)
    rows, columns = box
    corner = columns.start - 0.5, rows.start - 0.5
    wide, tall = columns.stop - columns.start, rows.stop - rows.start
    frame = Rectangle(corner, wide, tall, fill=False, edgecolor="white", linewidth=0.7)
    panel.add_patch(frame)
    panel.set_facecolor("black")
    middle = np.array(view.image.shape) / 2 - 0.5
    half = max(view.image.shape) / 2
    panel.set_xlim(middle[1] - half, middle[1] + half)
    panel.set_ylim(middle[0] + half, middle[0] - half)
