"""The two post-processings of a residual: ``none`` and the starred variant of the paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def postprocess(residual: FloatArray, name: str) -> FloatArray:
    """Turn a signed residual, or a score that is never negative, into an anomaly map.

    ``none`` takes the absolute residual ``|x - reconstruction|``. ``star`` takes the positive
    residual ``max(x - reconstruction, 0)``, since lesions are brighter than healthy tissue in
    FLAIR, and then the median of 3 x 3 pixels in each axial slice (SPA paper, section 4). NaN
    stays NaN, so that it is found later.

    Args:
        residual: float32 ``[N, H, W]``, in [-1, 1].
        name: the post-processing.

    Returns:
        float32 ``[N, H, W]`` in [0, 1].
    """
    if name == "none":
        return np.abs(residual)
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
