"""Smooth random fields on a voxel grid, and trilinear sampling of many maps at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.kernels import compiled, compiled_or

Array = NDArray[np.float32]
Shape = tuple[int, int, int]
Value = TypeVar("Value", np.float32, np.uint8)

_ROWS = 16
"""Rows of a matrix that are applied at once: each looks at a few neighbouring values."""

_PLANES = 8
"""Planes that are computed at once: a megabyte an array."""

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


@dataclass(frozen=True, slots=True)
class Field:
    """Values on a grid, of which any planes can be made by themselves.

    Attributes:
        matrix: float32 ``[X, K]``, what each plane takes of the sheets.
        sheets: float32 ``[K, Y, Z]``.
    """

    matrix: Array
    sheets: Array

    @classmethod
    def separable(cls, values: Array, matrices: tuple[Array, Array, Array]) -> Field:
        """Apply one matrix ``[out, in]`` to each of the three axes of ``values``."""
        x, y, z = matrices
        first = values @ z.T
        sheets = np.empty((first.shape[0], y.shape[0], first.shape[2]), dtype=np.float32)
        for rows, used in bands(y, _ROWS):
            np.matmul(y[rows, used], first[:, used], out=sheets[:, rows])
        return cls(x, sheets)

    @classmethod
    def drawn(cls, rng: np.random.Generator, shape: Shape, spacing: float) -> Field:
        """Draw a smooth field; see :func:`smooth_field`."""
        x, y, z = (spline_matrix(length, spacing) for length in shape)
        draws = rng.standard_normal((x.shape[1], y.shape[1], z.shape[1]), dtype=np.float32)
        return cls.separable(draws / np.float32(_MEAN_SQUARE**1.5), (x, y, z))

    def planes(self, some: slice = slice(None)) -> Array:
        """The values of some planes: float32 ``[some of X, Y, Z]``."""
        matrix = self.matrix[some]
        flat = self.sheets.reshape(len(self.sheets), -1)
        out = np.empty((len(matrix), flat.shape[1]), dtype=np.float32)
        for rows, used in bands(matrix, _ROWS):
            np.matmul(matrix[rows, used], flat[used], out=out[rows])
        return out.reshape(len(matrix), *self.sheets.shape[1:])


def bands(matrix: Array, rows: int) -> Iterator[tuple[slice, slice]]:
    """Yield some rows of a matrix after the other, and the columns outside of which they are 0."""
    for some in _stretches(len(matrix), rows):
        used = np.flatnonzero(matrix[some].any(axis=0))
        yield some, slice(used[0], used[-1] + 1) if used.size else slice(0)


def by_planes(
    shape: tuple[int, ...], values: Callable[[slice], NDArray[Value]], dtype: type[Value]
) -> NDArray[Value]:
    """Compute an array a few planes at a time, so that what is in between stays in the cache.

    Args:
        shape: of the array: ``(..., X, Y, Z)``.
        values: computes some planes, ``[..., some of X, Y, Z]``.
        dtype: of the array.
    """
    out = np.empty(shape, dtype=dtype)
    for some in _stretches(shape[-3], _PLANES):
        out[..., some, :, :] = values(some)
    return out


def _stretches(length: int, least: int) -> Iterator[slice]:
    """Divide an axis into stretches of this length; the last one may have nearly twice as many.

    For a matrix of fewer than eight rows some libraries add in another order, and so to other bits.
    """
    starts = range(0, max(length - least, 0) + 1, least)
    yield from map(slice, starts, [*starts[1:], length])


def separable(values: Array, matrices: tuple[Array, Array, Array]) -> Array:
    """Apply one matrix ``[out, in]`` to each of the three axes of ``values``."""
    return Field.separable(values, matrices).planes()


def smooth_field(rng: np.random.Generator, shape: Shape, spacing: float) -> Array:
    """A Gaussian random field of zero mean, unit variance and correlation length ``spacing``.

    Args:
        rng: source of the draws.
        shape: the grid, in voxels.
        spacing: distance between independent draws, in voxels.

    Returns:
        float32 of ``shape``.
    """
    return Field.drawn(rng, shape, spacing).planes()


def upsample(coarse: Array, shape: Shape, spacing: int) -> Array:
    """Linear interpolation of ``coarse``, which holds every ``spacing``-th voxel, to ``shape``."""
    x, y, z = (linear_matrix(length, spacing) for length in shape)
    return separable(coarse, (x, y, z))


def _pulled_plain(field: Array, at: NDArray[np.floating]) -> Array:
    return np.stack([ndimage.map_coordinates(one, at, order=1, mode="nearest") for one in field])


@compiled_or(_pulled_plain)
def pulled(field: Array, at: NDArray[np.floating]) -> Array:
    """Values of a field at places, trilinearly; beyond the ends those of the ends.

    The numbers of ``scipy.ndimage.map_coordinates`` in a tenth of the time.

    Args:
        field: float32 ``[K, X, Y, Z]``, at least two voxels along each axis.
        at: float32 ``[3, A, B, C]``, in voxels.

    Returns:
        float32 ``[K, A, B, C]``.
    """
    count, size_x, size_y, size_z = field.shape
    out = np.empty((count, at.shape[1], at.shape[2], at.shape[3]), dtype=np.float32)
    for a in range(at.shape[1]):
        for b in range(at.shape[2]):
            for c in range(at.shape[3]):
                x = min(max(np.float64(at[0, a, b, c]), 0.0), size_x - 1.0)
                y = min(max(np.float64(at[1, a, b, c]), 0.0), size_y - 1.0)
                z = min(max(np.float64(at[2, a, b, c]), 0.0), size_z - 1.0)
                i, j, k = min(int(x), size_x - 2), min(int(y), size_y - 2), min(int(z), size_z - 2)
                fx, fy, fz = x - i, y - j, z - k
                gx, gy, gz = 1.0 - fx, 1.0 - fy, 1.0 - fz
                for m in range(count):
                    total = field[m, i, j, k] * gx * gy * gz
                    total += field[m, i, j, k + 1] * gx * gy * fz
                    total += field[m, i, j + 1, k] * gx * fy * gz
                    total += field[m, i, j + 1, k + 1] * gx * fy * fz
                    total += field[m, i + 1, j, k] * fx * gy * gz
                    total += field[m, i + 1, j, k + 1] * fx * gy * fz
                    total += field[m, i + 1, j + 1, k] * fx * fy * gz
                    total += field[m, i + 1, j + 1, k + 1] * fx * fy * fz
                    out[m, a, b, c] = total
    return out


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
