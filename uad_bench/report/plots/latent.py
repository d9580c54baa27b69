"""Latent tissue maps of a healthy person and of patients, with the profile along a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.method import TISSUES
from uad_bench.report.figures.cells import Image
from uad_bench.report.plots.slices import SCORES, around, grey, outlined
from uad_bench.report.plots.style import LETTERS_PER_INCH, PAGE

MOST_ROWS = 5
"""Slices, one above the other, that a page holds."""

_LINE_COLOUR = "#d6006c"
_LEFT, _RIGHT, _TOP, _BETWEEN = 0.36, 0.03, 0.2, 0.08
_PROFILE = 0.36
_SMALL, _LINE = 7, 0.14


@dataclass(frozen=True, slots=True, eq=False)
class LatentView:
    """A slice, and what a method with latent tissue maps makes of it.

    Attributes:
        title: dataset, and whose slice it is.
        image: ``[H, W]`` in [0, 1].
        brain: bool ``[H, W]``.
        lesion: ``[H, W]``, 1 where the lesion is; ``None`` for a healthy person.
        tissues: latent maps ``[4, H, W]`` in [0, 1].
        reconstruction: ``[H, W]`` in [0, 1].
    """

    title: str
    image: Image
    brain: NDArray[np.bool_]
    lesion: Image | None
    tissues: Image
    reconstruction: Image

    @property
    def line(self) -> int:
        """The row of the profile: the one with most lesion, or with most brain."""
        inside = self.brain if self.lesion is None else np.asarray(self.lesion) == 1
        return int(inside.sum(axis=1).argmax())

    def panels(self) -> Iterator[tuple[str, Image]]:
        """Yield what each panel is called, and what it shows."""
        yield "slice", self.image
        yield from zip(TISSUES, self.tissues, strict=True)
        yield "reconstruction", self.reconstruction
        yield "residual", np.abs(self.image - self.reconstruction)


def refuse_too_many(rows: int) -> None:
    """Refuse more slices than a page holds.

    Raises:
        UadBenchError: saying how many it holds.
    """
    if rows > MOST_ROWS:
        raise UadBenchError(
            f"figure latent: {rows} rows do not fit on a page, {MOST_ROWS} do; choose with "
            "--datasets"
        )


def latent_figure(views: Sequence[LatentView], note: str) -> Figure:
    """Draw a row per slice; below each panel the intensity along the line across it.

    Args:
        views: the slices.
        note: what a reader must know.
    """
    names = [name for name, _ in views[0].panels()]
    side = (PAGE - _LEFT - _RIGHT) / len(names)
    lines = wrap(note, int(PAGE * LETTERS_PER_INCH))
    row_height = side + _PROFILE + _BETWEEN
    height = _TOP + len(views) * row_height + 0.1 + _LINE * len(lines)
    figure = Figure(figsize=(PAGE, height))
    for at, view in enumerate(views):
        top = _TOP + at * row_height
        rows, columns = around(view.brain)
        high, across = rows.stop - rows.start, columns.stop - columns.start
        scale = (side - _BETWEEN) / max(high, across)
        for column, (name, image) in enumerate(view.panels()):
            wide, tall = across * scale, high * scale
            left = _LEFT + column * side + (side - wide) / 2
            panel, profile = (
                figure.add_axes((left / PAGE, 1 - below / height, wide / PAGE, size / height))
                for below, size in (
                    (top + side - _BETWEEN / 2 - (side - _BETWEEN - tall) / 2, tall),
                    (top + side + _PROFILE, _PROFILE),
                )
            )
            _panel(panel, view, image, residual=name == "residual")
            _profile(profile, view, image)
            panel.set_xlim(columns.start - 0.5, columns.stop - 0.5)
            panel.set_ylim(rows.stop - 0.5, rows.start - 0.5)
            profile.set_xlim(columns.start - 0.5, columns.stop - 0.5)
            if column:
                profile.tick_params(labelleft=False)
            else:
                panel.set_ylabel(view.title, fontsize=_SMALL, parse_math=False)
            if not at:
                panel.set_title(name, fontsize=_SMALL)
    text = figure.text(0.5, 0.04 / height, "\n".join(lines), ha="center", va="bottom")
    text.set_fontsize(_SMALL)
    text.set_parse_math(False)
    return figure


def _panel(panel: Axes, view: LatentView, image: Image, *, residual: bool) -> None:
    """One picture, with the lesion's outline on the slice itself, and the line."""
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_facecolor("black")
    if residual:
        panel.imshow(image, cmap=SCORES, vmin=0.0, vmax=float(image.max()) or 1.0)
    else:
        grey(panel, image)
    if image is view.image and view.lesion is not None:
        outlined(panel, view.lesion)
    panel.axhline(view.line, color=_LINE_COLOUR, linewidth=0.7)


def _profile(panel: Axes, view: LatentView, image: Image) -> None:
    """The intensity along the line; the lesion is grey behind it."""
    if view.lesion is not None:
        inside = np.asarray(view.lesion)[view.line] == 1
        panel.fill_between(
            np.arange(len(inside)), 0, 1, where=inside, step="mid", color="#cccccc", linewidth=0
        )
    panel.plot(image[view.line], color=_LINE_COLOUR, linewidth=0.8)
    panel.set_ylim(0, 1)
    panel.set_xticks([])
    panel.set_yticks([0, 1])
    panel.tick_params(labelsize=6, length=2)
