"""Resampling onto the template grid: the mean of the source over each target voxel.

World coordinates are in mm, RAS+: x grows to the patient's right, y to anterior, z to superior.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uad_bench.kernels import compiled
from uad_bench.volumes.grid import Affine, FloatArray, Grid

_SIDE = 4
"""Voxels along each side of a block of the source."""

_ZEROS, _ONES, _MIXED = 0, 1, 2
"""What a block holds. A voxel whose samples are all 0 or all 1 needs none."""


def resample(
    source: NDArray[Any], affine: Affine, grid: Grid, where: NDArray[np.bool_] | None = None
) -> FloatArray:
    """Return the mean of ``source`` over each voxel of ``grid``: float32 ``[Z, H, W]``.

    The source is a trilinear function that falls to 0 one voxel outside its array. Each target
    voxel is the mean of at least 2 samples along each axis, and of as many as there are source
    voxels along it, so that nothing small is stepped over and volumes are kept.

    Args:
        source: ``[X, Y, Z]``; a boolean mask becomes the share of the target voxel inside it.
        affine: voxel of ``source`` to MNI152 world coordinates.
        grid: the target.
        where: the voxels ``[Z, H, W]`` that are asked for, others are 0; all by default.
    """
    to_voxel = np.linalg.inv(affine) @ grid.affine
    kind: type[np.generic] = np.float32
    if source.dtype == np.bool_:
        source, kind = source.view(np.uint8), np.uint8
    factor = np.maximum(2, np.ceil(np.linalg.norm(to_voxel[:3, :3], axis=0))).astype(np.int64)
    wanted = np.ones(grid.shape, dtype=np.bool_) if where is None else where
    if (np.count_nonzero(to_voxel[:3, :3], axis=0) == 1).all():  # no voxel is turned
        order = np.abs(to_voxel[:3, :3]).argmax(axis=0)
        turned = np.ascontiguousarray(source.transpose(order), dtype=kind).view()
        turned.flags.writeable = False  # as of a file: another kind of array would be compiled anew
        z, y, x = (
            _weights(to_voxel[axis, [column, 3]], factor[column], size, length)
            for column, (axis, size, length) in enumerate(
                zip(order, grid.shape, turned.shape, strict=True)
            )
        )
        return _means_by_axis(turned, z, y, x, wanted)
    padded = np.zeros(tuple(length + 2 for length in source.shape[::-1]), dtype=kind)
    padded[1:-1, 1:-1, 1:-1] = source.T
    to_voxel[:3, 3] += 1.0
    blocks = _blocks(padded, where is None)
    box = _target_box(blocks != _ZEROS, to_voxel, grid.shape)
    within = np.zeros(grid.shape, dtype=np.bool_)
    within[box] = wanted[box]
    return _block_means(padded, blocks, to_voxel, factor, within)


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


def resample_tissues(shares: NDArray[Any], affine: Affine, grid: Grid) -> NDArray[np.uint8]:
    """Bring shares of CSF, GM, WM ``[3, X, Y, Z]`` onto ``grid``: 255 x, uint8 ``[Z, 3, H, W]``.

    Rounded cumulatively, so that the three never sum to more than 255.
    """
    slices, height, width = grid.shape
    result = np.empty((slices, len(shares), height, width), dtype=np.uint8)
    total, before = np.zeros((2, *grid.shape), dtype=np.float32)
    for tissue, share in enumerate(shares):
        total += resample(share, affine, grid)
        reached = np.rint(255.0 * np.minimum(total, 1.0))
        result[:, tissue] = (reached - before).clip(0.0)
        before = reached
    return result


class _Weights(NamedTuple):
    """How the voxels of a target axis are made of those of a source axis.

    Attributes:
        first: the first source voxel that each looks at, ``[T]``.
        share: what each takes of that voxel and of those behind it, ``[T, N]``.
    """

    first: NDArray[np.int64]
    share: NDArray[np.float64]


def _weights(line: NDArray[np.float64], samples: int, size: int, length: int) -> _Weights:
    """Return the mean of a linear function over each target voxel, by so many samples.

    Args:
        line: source voxels from one target voxel to the next, negative against the axis, and the
            first one's place in the source.
        samples: per target voxel.
        size: target voxels.
        length: source voxels.
    """
    step, start = line
    at = start + step * (np.arange(size)[:, None] - 0.5 + (np.arange(samples) + 0.5) / samples)
    apart = np.abs(at[:, :, None] - np.arange(length))
    share = np.clip(1.0 - apart, 0.0, None).mean(axis=1)
    count = max(1, int((share > 0).sum(axis=1).max()))
    first = np.minimum((share > 0).argmax(axis=1), length - count)
    return _Weights(first, np.take_along_axis(share, first[:, None] + np.arange(count), axis=1))


@compiled
def _means_by_axis(
    source: NDArray[Any], z: _Weights, y: _Weights, x: _Weights, wanted: NDArray[np.bool_]
) -> FloatArray:
    """Return means of ``source``, ``[Z, H, W]``: the sum over one axis after the other.

    Args:
        source: its axes are in the order of the grid's.
        z: how slices are made.
        y: how rows are made.
        x: how columns are made.
        wanted: the voxels that are asked for, ``[Z, H, W]``; others are 0.
    """
    _, rows, columns = source.shape
    result = np.zeros(wanted.shape, dtype=np.float32)
    for k in range(wanted.shape[0]):
        plane = np.zeros((rows, columns), dtype=np.float64)
        for n in range(z.share.shape[1]):
            share, below = z.share[k, n], source[z.first[k] + n]
            for j in range(rows):
                for i in range(columns):
                    plane[j, i] += share * below[j, i]
        row = np.empty(columns, dtype=np.float64)
        for j in range(wanted.shape[1]):
            if not wanted[k, j].any():
                continue
            row[:] = 0.0
            for n in range(y.share.shape[1]):
                share, beside = y.share[j, n], plane[y.first[j] + n]
                for i in range(columns):
                    row[i] += share * beside[i]
            for i in range(wanted.shape[2]):
                if wanted[k, j, i]:
                    total = 0.0
                    for n in range(x.share.shape[1]):
                        total += x.share[i, n] * row[x.first[i] + n]
                    result[k, j, i] = total
    return result


@compiled
def _blocks(source: NDArray[Any], looked_at: bool) -> NDArray[np.uint8]:
    """Return what each block of ``_SIDE`` voxels along each side holds; else all may be mixed."""
    planes, rows, columns = source.shape
    shape = ((planes - 1) // _SIDE + 1, (rows - 1) // _SIDE + 1, (columns - 1) // _SIDE + 1)
    blocks = np.full(shape, _MIXED, dtype=np.uint8)
    for k in range(planes if looked_at else 0):
        for j in range(rows):
            row = blocks[k // _SIDE, j // _SIDE]
            for at in range(shape[2]):
                low = high = source[k, j, at * _SIDE]
                for i in range(at * _SIDE + 1, min(columns, (at + 1) * _SIDE)):
                    low, high = min(low, source[k, j, i]), max(high, source[k, j, i])
                kind = _ZEROS if low == high == 0 else _ONES if low == high == 1 else _MIXED
                first = k % _SIDE == 0 and j % _SIDE == 0
                row[at] = kind if first or kind == row[at] else _MIXED
    return blocks


def _target_box(
    filled: NDArray[np.bool_], to_voxel: Affine, shape: tuple[int, int, int]
) -> tuple[slice, ...]:
    """Return the part of the grid that the blocks of the source that are not 0 reach."""
    if not filled.any():
        return (slice(0), slice(0), slice(0))
    bounds = []
    for axis in (2, 1, 0):
        some = np.flatnonzero(filled.any(axis=tuple({0, 1, 2} - {axis})))
        bounds.append((_SIDE * some[0] - 1.0, _SIDE * (some[-1] + 1.0)))
    corners = np.array(np.meshgrid(*bounds, indexing="ij")).reshape(3, -1)
    to_grid = np.linalg.inv(to_voxel)
    points = to_grid[:3, :3] @ corners + to_grid[:3, 3:]
    low = np.floor(points.min(axis=1) - 0.5).clip(0, shape).astype(np.int64)
    high = np.ceil(points.max(axis=1) + 1.5).clip(0, shape).astype(np.int64)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


@compiled
def _block_means(
    source: NDArray[Any],
    blocks: NDArray[np.uint8],
    m: Affine,
    factor: NDArray[np.int64],
    wanted: NDArray[np.bool_],
) -> FloatArray:
    """Return means of trilinear samples of ``source``, ``[Z, H, W]``.

    Compiled, because it decides how long preparation takes: the same numbers as
    ``scipy.ndimage.affine_transform`` on the finer grid, in a tenth of the time.

    Args:
        source: ``[Z, Y, X]`` with a border of one voxel of zeros.
        blocks: what its blocks hold.
        m: grid index to voxel (x, y, z) of ``source``.
        factor: samples per target voxel along each axis of the grid.
        wanted: the voxels that are asked for, ``[Z, H, W]``; others are 0.
    """
    reach = (
        0.5 * (abs(m[0, 0]) + abs(m[0, 1]) + abs(m[0, 2])) + 0.01,
        0.5 * (abs(m[1, 0]) + abs(m[1, 1]) + abs(m[1, 2])) + 0.01,
        0.5 * (abs(m[2, 0]) + abs(m[2, 1]) + abs(m[2, 2])) + 0.01,
    )
    result = np.zeros(wanted.shape, dtype=np.float32)
    nw, nv, nu = source.shape
    scale = 1.0 / (factor[0] * factor[1] * factor[2])
    step_u, step_v, step_w = m[0, 2] / factor[2], m[1, 2] / factor[2], m[2, 2] / factor[2]
    for z in range(wanted.shape[0]):
        for y in range(wanted.shape[1]):
            for x in range(wanted.shape[2]):
                if not wanted[z, y, x]:
                    continue
                kind = _kind_around(
                    blocks,
                    m[0, 0] * z + m[0, 1] * y + m[0, 2] * x + m[0, 3],
                    m[1, 0] * z + m[1, 1] * y + m[1, 2] * x + m[1, 3],
                    m[2, 0] * z + m[2, 1] * y + m[2, 2] * x + m[2, 3],
                    reach,
                )
                if kind != _MIXED:
                    result[z, y, x] = kind
                    continue
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
    return result


@compiled
def _kind_around(
    blocks: NDArray[np.uint8], u: float, v: float, w: float, reach: tuple[float, float, float]
) -> int:
    """Return what all blocks hold that the samples around a place can touch.

    Args:
        blocks: what each holds.
        u: x of the place in the source, which is in its array or not.
        v: y of it.
        w: z of it.
        reach: how far samples are from it along x, y and z.
    """
    far_u, far_v, far_w = reach
    last_w, last_v, last_u = blocks.shape
    # Each sample looks at the voxels before and behind it; beyond the array there is nothing.
    if u < far_u or v < far_v or w < far_w:
        return _MIXED
    i0, i1 = int(u - far_u) // _SIDE, int(u + far_u + 1.0) // _SIDE
    j0, j1 = int(v - far_v) // _SIDE, int(v + far_v + 1.0) // _SIDE
    k0, k1 = int(w - far_w) // _SIDE, int(w + far_w + 1.0) // _SIDE
    if i1 >= last_u or j1 >= last_v or k1 >= last_w:
        return _MIXED
    kind = blocks[k0, j0, i0]
    for k in range(k0, k1 + 1):
        for j in range(j0, j1 + 1):
            for i in range(i0, i1 + 1):
                if blocks[k, j, i] != kind:
                    return _MIXED
    return int(kind)
