"""The positive residual, smoothed: the starred variant of the SPA paper (Bercea et al. 2022)."""

from __future__ import annotations

import numpy as np

from uad_bench.evaluation.postprocessing import FloatArray, PostProcessing
from uad_bench.kernels import compiled, compiled_or


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


@compiled
def _smaller(one: np.float32, other: np.float32) -> np.float32:
    return one if one < other else other


@compiled
def _larger(one: np.float32, other: np.float32) -> np.float32:
    return one if one > other else other


@compiled
def _middle(first: np.float32, second: np.float32, third: np.float32) -> np.float32:
    smaller, larger = _smaller(first, second), _larger(first, second)
    return _larger(smaller, _smaller(larger, third))


def _smooth_plain(residual: FloatArray, smooth: FloatArray) -> bool:
    smooth[...] = median_3x3(np.maximum(residual, np.float32(0)) + np.float32(0))
    return True


@compiled_or(_smooth_plain)
def _smooth(residual: FloatArray, smooth: FloatArray) -> bool:
    """Fill ``smooth`` as :func:`smoothed_excess` says, row by row, three rows in reach.

    Returns:
        Whether no value was NaN; if one was, ``smooth`` means nothing.
    """
    count, height, width = residual.shape
    zero, numbers = np.float32(0), True
    low, middle, high = np.empty((3, width + 2), np.float32)
    for at in range(count):
        for row in range(height):
            above, centre = residual[at, max(row - 1, 0)], residual[at, row]
            below = residual[at, min(row + 1, height - 1)]
            for x in range(width):
                numbers &= centre[x] == centre[x]
                first, second = _larger(above[x], zero), _larger(centre[x], zero)
                third = _larger(below[x], zero)
                smaller, larger = _smaller(first, second), _larger(first, second)
                between = _smaller(larger, third)
                low[x + 1], middle[x + 1] = _smaller(smaller, between), _larger(smaller, between)
                high[x + 1] = _larger(larger, third)
            for line in (low, middle, high):
                line[0], line[width + 1] = line[1], line[width]
            for x in range(width):
                smooth[at, row, x] = _middle(
                    _larger(_larger(low[x], low[x + 1]), low[x + 2]),
                    _middle(middle[x], middle[x + 1], middle[x + 2]),
                    _smaller(_smaller(high[x], high[x + 1]), high[x + 2]),
                )
    return numbers


def smoothed_excess(residual: FloatArray) -> FloatArray:
    """Return the median of 3 x 3 pixels of ``max(x - reconstruction, 0)`` in each axial slice.

    Lesions are brighter than healthy tissue in FLAIR (SPA paper, section 4). NaN stays NaN, so
    that it is found later.

    Args:
        residual: float32 ``[N, H, W]``, in [-1, 1].
    """
    values = np.ascontiguousarray(residual, np.float32).view()
    values.flags.writeable = False  # as of a file: another kind of array would be compiled anew
    smooth = np.empty_like(values)
    if not _smooth(values, smooth):
        _smooth.plain(values, smooth)
    return smooth


STAR = PostProcessing(
    name="star",
    version=1,
    mark="*",
    caption="positive residual and median filter of size 3",
    make=lambda residual, _: smoothed_excess(residual),
)
