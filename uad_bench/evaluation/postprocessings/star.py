"""The positive residual, smoothed: the starred variant of the SPA paper (Bercea et al. 2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.postprocessing import PostProcessing

FloatArray = NDArray[np.float32]


def smoothed_excess(residual: FloatArray) -> FloatArray:
    """Return the median of 3 x 3 pixels of ``max(x - reconstruction, 0)`` in each axial slice.

    Lesions are brighter than healthy tissue in FLAIR (SPA paper, section 4). NaN stays NaN, so
    that it is found later.

    Args:
        residual: float32 ``[N, H, W]``, in [-1, 1].
    """
    return median_3x3(np.maximum(residual, np.float32(0)) + np.float32(0))


def median_3x3(slices: FloatArray) -> FloatArray:
    """Median of each pixel and its eight neighbours within its slice; the edge is repeated.

    Equal to ``scipy.ndimage.median_filter(slices, size=(1, 3, 3), mode="nearest")``. Sorting each
    column of three first leaves only the median of (largest minimum, median of medians, smallest
    maximum) to be found: 18 minima and maxima per pixel in all, shared between neighbours.

    Args:
        slices: float32 ``[N, H, W]``.
    """
    padded = np.pad(slices, ((0, 0), (1, 1), (1, 1)), mode="edge")
    above, centre, below = padded[:, :-2], padded[:, 1:-1], padded[:, 2:]
    smaller, larger = np.minimum(above, centre), np.maximum(above, centre)
    middle, highest = np.minimum(larger, below), np.maximum(larger, below)
    lowest, middle = np.minimum(smaller, middle), np.maximum(smaller, middle)
    return _median(
        np.maximum(np.maximum(lowest[..., :-2], lowest[..., 1:-1]), lowest[..., 2:]),
        _median(middle[..., :-2], middle[..., 1:-1], middle[..., 2:]),
        np.minimum(np.minimum(highest[..., :-2], highest[..., 1:-1]), highest[..., 2:]),
    )


def _median(first: FloatArray, second: FloatArray, third: FloatArray) -> FloatArray:
    """The median of three values, element by element."""
    smaller, larger = np.minimum(first, second), np.maximum(first, second)
    median: FloatArray = np.maximum(smaller, np.minimum(larger, third))
    return median


STAR = PostProcessing(
    name="star",
    version=1,
    mark="*",
    caption="positive residual and median filter of size 3",
    make=smoothed_excess,
)
