"""Smooth random fields on a voxel grid, and trilinear sampling of many maps at once."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from uad_bench.kernels import compiled

Array = NDArray[np.float32]
Shape = tuple[int, int, int]

_MEAN_SQUARE = 0.4794  # mean over a cell of the sum of squared cubic B-spline weights


@functools.lru_cache(maxsize=256)
def spline_matrix(length: int, spacing: float) -> Array:
    """Cubic B-spline basis of one axis.

    Args:
        length: number of voxels of the axis.
        spacing: distance between knots, in voxels.

    Returns:
        float32 ``[length, knots]``; every row sums to 1.
    """
    knots = math.ceil((length - 1) / spacing) + 4
    at = np.arange(length) / spacing + 1.0
    distance = np.abs(at[:, None] - np.arange(knots)[None, :])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance) ** 3 / 6
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return np.asarray(weights, dtype=np.float32)


@functools.lru_cache(maxsize=16)
def linear_matrix(length: int, spacing: int) -> Array:
    """Linear interpolation of one axis from every ``spacing``-th voxel to all ``length``."""
    knots = math.ceil((length - 1) / spacing) + 1
    at = np.arange(length) / spacing
    return np.clip(1 - np.abs(at[:, None] - np.arange(knots)[None, :]), 0, None).astype(np.float32)


def separable(values: Array, matrices: tuple[Array, Array, Array]) -> Array:
    """Apply one matrix ``[out, in]`` to each of the three axes of ``values``."""
    x, y, z = matrices
    first = values @ z.T
    second = np.matmul(y, first)
    flat = second.reshape(second.shape[0], -1)
    return np.asarray((x @ flat).reshape(x.shape[0], *second.shape[1:]), dtype=np.float32)


def smooth_field(rng: np.random.Generator, shape: Shape, spacing: float) -> Array:
    """A Gaussian random field of zero mean, unit variance and correlation length ``spacing``.

    Args:
        rng: source of the draws.
        shape: the grid, in voxels.
        spacing: distance between independent draws, in voxels.

    Returns:
        float32 of ``shape``.
    """
    x, y, z = (spline_matrix(length, spacing) for length in shape)
    draws = rng.standard_normal((x.shape[1], y.shape[1], z.shape[1]), dtype=np.float32)
    return separable(draws / np.float32(_MEAN_SQUARE**1.5), (x, y, z))


def upsample(coarse: Array, shape: Shape, spacing: int) -> Array:
    """Linear interpolation of ``coarse``, which holds every ``spacing``-th voxel, to ``shape``."""
    x, y, z = (linear_matrix(length, spacing) for length in shape)
    return separable(coarse, (x, y, z))


@compiled
def sample_maps(maps: Array, shift: Array, gate: int, floor: float, fill: Array) -> Array:
    """Pull many maps through one displacement, trilinearly.

    Args:
        maps: float32 ``[X, Y, Z, K]``.
        shift: float32 ``[3, X, Y, Z]``, displacement in voxels: output voxel ``p`` takes the
            value at ``p + shift[:, p]``.
        gate: map that says where the others are worth sampling.
        floor: where map ``gate`` is below it, the output is ``fill``.
        fill: float32 ``[K]``, the values outside.

    Returns:
        float32 ``[K, X, Y, Z]``.
    """
    size_x, size_y, size_z, count = maps.shape
    one = np.float32(1)
    out = np.empty((count, size_x, size_y, size_z), dtype=np.float32)
    for i in range(size_x):
        for j in range(size_y):
            for k in range(size_z):
                x = i + shift[0, i, j, k]
                y = j + shift[1, i, j, k]
                z = k + shift[2, i, j, k]
                x0, y0, z0 = math.floor(x), math.floor(y), math.floor(z)
                inside = 0 <= x0 < size_x - 1 and 0 <= y0 < size_y - 1 and 0 <= z0 < size_z - 1
                if not inside or maps[x0, y0, z0, gate] < floor:
                    for m in range(count):
                        out[m, i, j, k] = fill[m]
                    continue
                fx, fy, fz = np.float32(x - x0), np.float32(y - y0), np.float32(z - z0)
                gx, gy, gz = one - fx, one - fy, one - fz
                corner = (
                    maps[x0, y0, z0], maps[x0, y0, z0 + 1], maps[x0, y0 + 1, z0],
                    maps[x0, y0 + 1, z0 + 1], maps[x0 + 1, y0, z0], maps[x0 + 1, y0, z0 + 1],
                    maps[x0 + 1, y0 + 1, z0], maps[x0 + 1, y0 + 1, z0 + 1],
                )  # fmt: skip
                weight = (
                    gx * gy * gz, gx * gy * fz, gx * fy * gz, gx * fy * fz,
                    fx * gy * gz, fx * gy * fz, fx * fy * gz, fx * fy * fz,
                )  # fmt: skip
                for m in range(count):
                    total = weight[0] * corner[0][m]
                    total += weight[1] * corner[1][m]
                    total += weight[2] * corner[2][m]
                    total += weight[3] * corner[3][m]
                    total += weight[4] * corner[4][m]
                    total += weight[5] * corner[5][m]
                    total += weight[6] * corner[6][m]
                    total += weight[7] * corner[7][m]
                    out[m, i, j, k] = total
    return out
