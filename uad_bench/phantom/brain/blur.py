"""Blurring volumes with a Gaussian, as scipy does, in a fraction of the time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.kernels import compiled, compiled_or
from uad_bench.phantom.brain.fields import Array

_STRETCH = 512
"""How many sums are kept at once, in a processor's nearest cache."""


def blurred(values: Array, sigma: float) -> Array:
    """Blur with a Gaussian of ``sigma`` voxels: the numbers of ``scipy.ndimage.gaussian_filter``.

    Args:
        values: float32 ``[X, Y, Z]``; beyond the ends it is mirrored.
        sigma: above 0.
    """
    reach = int(4.0 * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-reach, reach + 1) ** 2)
    return _blurred(np.ascontiguousarray(values), (weights / weights.sum())[reach:])


def _blurred_plain(values: Array, weights: NDArray[np.float64]) -> Array:
    both = np.concatenate([weights[:0:-1], weights])
    for axis in range(3):
        values = ndimage.correlate1d(values, both, axis)
    return values


@compiled_or(_blurred_plain)
def _blurred(values: Array, weights: NDArray[np.float64]) -> Array:
    """Blur along one axis after the other.

    The sums are scipy's, in its order: the voxel itself, then both neighbours of every distance,
    from the farthest to the nearest. It takes a fifth to an eighth of the time.

    Args:
        values: float32 ``[X, Y, Z]``.
        weights: of the voxel itself and of its neighbours at distances 1, 2, ...
    """
    size_x, size_y, size_z = values.shape
    return _blurred_rows(
        _blurred_lines(
            _blurred_lines(values.reshape(1, size_x, size_y * size_z), weights).reshape(
                size_x, size_y, size_z
            ),
            weights,
        ).reshape(size_x * size_y, size_z),
        weights,
    ).reshape(size_x, size_y, size_z)


@compiled
def _mirrored(at: int, size: int) -> int:
    """The place of an index beyond the ends of an axis, whose values go to and fro for ever."""
    at %= 2 * size
    return at if at < size else 2 * size - 1 - at


@compiled
def _blurred_lines(values: Array, weights: NDArray[np.float64]) -> Array:
    """Blur ``[A, N, B]`` along N, a stretch of B after the other."""
    count, size, width = values.shape
    out = np.empty_like(values)
    total = np.empty(_STRETCH, dtype=np.float64)
    for a in range(count):
        for i in range(size):
            for start in range(0, width, _STRETCH):
                stop = min(width, start + _STRETCH)
                here = values[a, i, start:stop]
                for k in range(stop - start):
                    total[k] = here[k] * weights[0]
                for far in range(len(weights) - 1, 0, -1):
                    below = values[a, _mirrored(i - far, size), start:stop]
                    above = values[a, _mirrored(i + far, size), start:stop]
                    weight = weights[far]
                    for k in range(stop - start):
                        total[k] += (np.float64(below[k]) + np.float64(above[k])) * weight
                for k in range(stop - start):
                    out[a, i, start + k] = total[k]
    return out


@compiled
def _blurred_rows(values: Array, weights: NDArray[np.float64]) -> Array:
    """Blur ``[A, N]`` along N."""
    count, size = values.shape
    reach = len(weights) - 1
    out = np.empty_like(values)
    row = np.empty(size + 2 * reach, dtype=np.float64)
    total = np.empty(size, dtype=np.float64)
    for a in range(count):
        for k in range(size):
            row[reach + k] = values[a, k]
        for far in range(1, reach + 1):
            row[reach - far] = values[a, _mirrored(-far, size)]
            row[reach + size - 1 + far] = values[a, _mirrored(size - 1 + far, size)]
        here = row[reach : reach + size]
        for k in range(size):
            total[k] = here[k] * weights[0]
        for far in range(reach, 0, -1):
            below, above, weight = row[reach - far :], row[reach + far :], weights[far]
            for k in range(size):
                total[k] += (below[k] + above[k]) * weight
        for k in range(size):
            out[a, k] = total[k]
    return out
