"""Slices as figures show them: grey, with the outline of a lesion, and cut around a brain."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from uad_bench.report.figures.cells import Image

SCORES = "inferno"
"""The colours of anomaly maps and residuals; their lightness rises, so that they stay in grey."""

Box = tuple[slice, slice]
"""Rows and columns of a slice."""

_OUTLINE = "#E69F00"
_MARGIN = 3


def grey(panel: Axes, image: Image) -> None:
    """Draw a slice, black at 0 and white at 1."""
    panel.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")


def outlined(panel: Axes, lesion: Image) -> None:
    """Draw the border of a lesion, where the mask is 1."""
    inside = np.pad((np.asarray(lesion) == 1).astype(float), 1)
    at = np.arange(-1, inside.shape[1] - 1), np.arange(-1, inside.shape[0] - 1)
    if inside.any():
        for colour, width in (("black", 1.8), (_OUTLINE, 0.9)):  # seen on bright and on dark
            panel.contour(*at, inside, levels=[0.5], colors=[colour], linewidths=width)
    panel.set_xlim(-0.5, lesion.shape[1] - 0.5)
    panel.set_ylim(lesion.shape[0] - 0.5, -0.5)


def around(brain: NDArray[np.bool_]) -> Box:
    """Return the rows and columns that hold a brain, with a margin; all of them without one."""
    sides = []
    for axis, size in ((1, brain.shape[0]), (0, brain.shape[1])):
        found = np.flatnonzero(brain.any(axis=axis))
        low, high = (found[0], found[-1]) if len(found) else (0, size - 1)
        sides.append(slice(max(0, int(low) - _MARGIN), min(size, int(high) + 1 + _MARGIN)))
    return sides[0], sides[1]
