"""A picture of an atlas: where each tissue lies in the mean, and where people differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from uad_bench.method import TISSUES
from uad_bench.report.figures.cells import png
from uad_bench.volumes.store.atlas import Atlas

_SLICES = 5
_MOST_VARIANCE = 0.25
"""The variance of a share can be no larger; the colours are the same for every atlas."""
_GROUND, _INK, _MARK = "#000000", "#d5dae2", "#ffa02e"
_DPI = 100


def atlas_picture(atlas: Atlas) -> bytes:
    """Draw axial slices of the four means and, beside them, of the four variances.

    The slices are spread evenly over the brain; the patient's right is on the left.

    Args:
        atlas: what to draw. Phantoms and the template's maps are marked as such.

    Returns:
        A PNG file's bytes; the same from the same atlas.
    """
    built, prior = atlas.manifest, atlas.prior
    shown = _spread(prior.mean)
    columns = 2 * _SLICES
    figure = Figure(figsize=(1.15 * columns + 0.9, 5.8), dpi=_DPI, facecolor=_GROUND)
    grid = figure.add_gridspec(
        len(TISSUES),
        columns + 1,
        width_ratios=[*[1.0] * _SLICES, 0.15, *[1.0] * _SLICES],
        left=0.07,
        right=0.995,
        top=0.85,
        bottom=0.09,
        wspace=0.03,
        hspace=0.03,
    )
    height = np.asarray(built.grid_affine)[2]
    for row, tissue in enumerate(TISSUES):
        for column, z in enumerate(shown):
            mean = figure.add_subplot(grid[row, column])
            means = mean.imshow(prior.mean[row, z], cmap="gray", vmin=0.0, vmax=1.0)
            variance = figure.add_subplot(grid[row, _SLICES + 1 + column])
            variances = variance.imshow(
                prior.variance[row, z], cmap="inferno", vmin=0.0, vmax=_MOST_VARIANCE
            )
            for axes in (mean, variance):
                axes.set_axis_off()
                if row == 0:
                    where = f"z = {height @ (z, 0, 0, 1):.0f} mm"
                    axes.set_title(where, color=_INK, fontsize=8, pad=3)
            if column == 0:
                at: dict[str, Any] = {"transform": mean.transAxes, "color": _INK, "fontsize": 9}
                mean.text(-0.06, 0.5, tissue, ha="right", va="center", **at)
    for image, left, label in ((means, 0.07, "mean share"), (variances, 0.54, "variance")):
        place = figure.add_axes((left + 0.1, 0.05, 0.25, 0.018))
        bar = figure.colorbar(image, cax=place, orientation="horizontal")
        bar.ax.tick_params(colors=_INK, labelsize=7, length=2)
        figure.text(left + 0.09, 0.059, label, color=_INK, fontsize=9, ha="right", va="center")
    figure.text(0.01, 0.955, f"Atlas {atlas.hash}", color="white", fontsize=11, va="center")
    source = f"{built.source}; recipe {built.recipe.name}"
    figure.text(0.01, 0.915, source, color=_INK, fontsize=9, parse_math=False)
    marks = [
        word for word, so in (("SIMULATED", built.simulated), ("FALLBACK", built.fallback)) if so
    ]
    figure.text(0.99, 0.955, " ".join(marks), color=_MARK, fontsize=11, ha="right", va="center")
    return png(figure)


def _spread(mean: NDArray[np.float32]) -> list[int]:
    """Slices from low to high in the brain, without its lowest and highest tenth."""
    inside = np.flatnonzero((mean[:3].sum(axis=0) > 0.5).any(axis=(1, 2)))
    if len(inside) == 0:
        inside = np.arange(mean.shape[1])
    return [int(inside[round(at * (len(inside) - 1))]) for at in np.linspace(0.15, 0.9, _SLICES)]
