"""Resampling onto the template grid: the mean of the source over each target voxel.

World coordinates are in mm, RAS+: x grows to the patient's right, y to anterior, z to superior.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_bench.kernels import compiled
from uad_bench.volumes.grid import Affine, FloatArray, Grid


def resample(source: NDArray[Any], affine: Affine, grid: Grid) -> FloatArray:
    """Return the mean of ``source`` over each voxel of ``grid``: float32 ``[Z, H, W]``.

    The source is a trilinear function that falls to 0 one voxel outside its array. Each target
    voxel is the mean of at least 2 samples along each axis, and of as many as there are source
    voxels along it, so that nothing small is stepped over and volumes are kept.

    Args:
        source: ``[X, Y, Z]``; a boolean mask becomes the share of the target voxel inside it.
        affine: voxel of ``source`` to MNI152 world coordinates.
        grid: the target.
    """
    result = np.zeros(grid.shape, dtype=np.float32)
    to_voxel = np.linalg.inv(affine) @ grid.affine
    box = _target_box(source, to_voxel, grid.shape)
    if box is not None:
        factor = np.maximum(2, np.ceil(np.linalg.norm(to_voxel[:3, :3], axis=0))).astype(np.int64)
        padded = np.pad(np.asarray(source, dtype=np.float32).T, 1)
        to_voxel[:3, 3] += 1.0
        _block_means(padded, to_voxel, box, factor, result)
    return result


def resample_lesion(lesion: NDArray[np.uint8], affine: Affine, grid: Grid) -> NDArray[np.uint8]:
    """Bring a lesion mask (0 healthy, 1 lesion, 2 ignored) onto ``grid``: uint8 ``[Z, H, W]``.

    A voxel is lesion where at least half of it is, and healthy only where more than half of it is;
    what is left, part lesion and part ignored, is ignored.
    """
    marked = resample(lesion == 1, affine, grid)
    result = (marked >= 0.5).astype(np.uint8)
    if (lesion == 2).any():
        unknown = resample(lesion == 2, affine, grid)
        result[(result == 0) & (unknown > 0) & (marked + unknown >= 0.5)] = 2
    return result


def resample_tissues(shares: FloatArray, affine: Affine, grid: Grid) -> NDArray[np.uint8]:
    """Bring shares of CSF, GM, WM ``[3, X, Y, Z]`` onto ``grid``: 255 x, uint8 ``[Z, 3, H, W]``.

    Rounded cumulatively, so that the three never sum to more than 255.
    """
    maps = np.stack([resample(share, affine, grid) for share in shares], axis=1)
    steps = np.rint(255.0 * np.minimum(maps.cumsum(axis=1), 1.0))
    return np.diff(steps, axis=1, prepend=0.0).clip(0.0).astype(np.uint8)


def _target_box(
    source: NDArray[Any], to_voxel: Affine, shape: tuple[int, int, int]
) -> NDArray[np.int64] | None:
    """Return the part of the grid that the non-zero part of ``source`` can reach, if any.

    The result is int ``[2, 3]``: first index and the one behind the last.
    """
    bounds = []
    for axis in range(3):
        filled = np.flatnonzero((source != 0).any(axis=tuple({0, 1, 2} - {axis})))
        if not len(filled):
            return None
        bounds.append((filled[0] - 1.0, filled[-1] + 1.0))
    corners = np.array(np.meshgrid(*bounds, indexing="ij")).reshape(3, -1)
    to_grid = np.linalg.inv(to_voxel)
    points = to_grid[:3, :3] @ corners + to_grid[:3, 3:]
    low = np.floor(points.min(axis=1) - 0.5).clip(0, shape).astype(np.int64)
    high = np.ceil(points.max(axis=1) + 1.5).clip(0, shape).astype(np.int64)
    return None if (low >= high).any() else np.stack([low, high])


@compiled
def _block_means(
    source: FloatArray,
    m: Affine,
    box: NDArray[np.int64],
    factor: NDArray[np.int64],
    result: FloatArray,
) -> None:
    """Fill ``result`` inside ``box`` with means of trilinear samples of ``source``.

    Compiled, because it decides how long preparation takes: the same numbers as
    ``scipy.ndimage.affine_transform`` on the finer grid, in a tenth of the time.

    Args:
        source: ``[Z, Y, X]`` with a border of one voxel of zeros.
        m: grid index to voxel (x, y, z) of ``source``.
        box: the part of the grid to fill.
        factor: samples per target voxel along each axis of the grid.
        result: ``[Z, H, W]``.
    """
    nw, nv, nu = source.shape
    scale = 1.0 / (factor[0] * factor[1] * factor[2])
    step_u, step_v, step_w = m[0, 2] / factor[2], m[1, 2] / factor[2], m[2, 2] / factor[2]
    for z in range(box[0, 0], box[1, 0]):
        for y in range(box[0, 1], box[1, 1]):
            for x in range(box[0, 2], box[1, 2]):
                total = 0.0
                for a in range(factor[0]):
                    fz = z - 0.5 + (a + 0.5) / factor[0]
                    for b in range(factor[1]):
                        fy = y - 0.5 + (b + 0.5) / factor[1]
                        fx = x - 0.5 + 0.5 / factor[2]
                        u0 = m[0, 0] * fz + m[0, 1] * fy + m[0, 2] * fx + m[0, 3]
                        v0 = m[1, 0] * fz + m[1, 1] * fy + m[1, 2] * fx + m[1, 3]
                        w0 = m[2, 0] * fz + m[2, 1] * fy + m[2, 2] * fx + m[2, 3]
                        for c in range(factor[2]):
                            u, v, w = u0 + c * step_u, v0 + c * step_v, w0 + c * step_w
                            if u < 0.0 or v < 0.0 or w < 0.0:
                                continue
                            if u >= nu - 1 or v >= nv - 1 or w >= nw - 1:
                                continue
                            i, j, k = np.uint32(u), np.uint32(v), np.uint32(w)
                            du, dv, dw = u - i, v - j, w - k
                            i1, j1, k1 = i + np.uint32(1), j + np.uint32(1), k + np.uint32(1)
                            s00 = source[k, j, i] * (1.0 - du) + source[k, j, i1] * du
                            s01 = source[k, j1, i] * (1.0 - du) + source[k, j1, i1] * du
                            s10 = source[k1, j, i] * (1.0 - du) + source[k1, j, i1] * du
                            s11 = source[k1, j1, i] * (1.0 - du) + source[k1, j1, i1] * du
                            s0 = s00 * (1.0 - dv) + s01 * dv
                            s1 = s10 * (1.0 - dv) + s11 * dv
                            total += s0 * (1.0 - dw) + s1 * dw
                result[z, y, x] = total * scale
