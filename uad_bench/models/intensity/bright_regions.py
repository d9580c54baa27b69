"""Regions of a scan that are bright together: smoothing that keeps edges, holes, and hysteresis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.kernels import compiled_or
from uad_bench.models.intensity.total_variation import total_variation

FloatArray = NDArray[np.float64]

REACH_MM = 4.0
"""How far the blur of an edge reaches: two voxels of 2 mm, or the slices of a thick scan."""


def smoothed(
    image: FloatArray, brain: NDArray[np.bool_], weight: float, *, outside: float
) -> FloatArray:
    """Smooth a brain by total variation in three dimensions (Chambolle 2004).

    Distances are counted in voxels, whatever their shape.

    Args:
        image: ``[N, H, W]``.
        brain: ``[N, H, W]``, ``n`` voxels.
        weight: how much is taken off; 0 for nothing.
        outside: what stands for everything outside the brain, so that its rim is no edge.

    Returns:
        The brain's voxels, ``[n]``.
    """
    if not weight or not brain.any():
        return image[brain]
    box = _box(brain)
    inside = brain[box]
    whole = np.where(inside, image[box], outside).astype(np.float32)
    return total_variation(whole, weight)[inside].astype(np.float64)


def filled(score: FloatArray) -> FloatArray:
    """Raise what is enclosed in a slice to the least that one has to cross to leave it.

    Grey-scale filling of holes (Soille 1999), slice by slice: ``filled(score) > t`` is
    ``score > t`` with the holes that are not connected to the slice's border, face to face or
    corner to corner, for every t.

    Args:
        score: ``[N, H, W]``.
    """
    if not score.any():
        return score
    box = _box(score > 0)
    raised = score.copy()
    raised[box] = _raised(np.pad(score[box], ((0, 0), (1, 1), (1, 1))))[:, 1:-1, 1:-1]
    return raised


def _raised_by_scikit_image(framed: FloatArray) -> FloatArray:
    from skimage.morphology import reconstruction

    from_above = np.zeros_like(framed)
    from_above[:, 1:-1, 1:-1] = framed.max()
    found: FloatArray = reconstruction(from_above, framed, "erosion", np.ones((1, 3, 3)))
    return found


@compiled_or(_raised_by_scikit_image)
def _raised(framed: FloatArray) -> FloatArray:
    """Fill the holes of slices whose border is 0: sweep to and fro until nothing sinks any more."""
    raised = np.full(framed.shape, np.inf)
    rows, columns = framed.shape[1:]
    for plane in range(len(framed)):
        floor, level = framed[plane], raised[plane]
        level[0] = level[-1] = 0.0
        level[:, 0] = level[:, -1] = 0.0
        sinks = True
        while sinks:
            sinks = False
            for turn in range(2):
                step = 1 - 2 * turn
                for i in range(1, rows - 1):
                    row = i if turn == 0 else rows - 1 - i
                    for j in range(1, columns - 1):
                        column = j if turn == 0 else columns - 1 - j
                        if level[row, column] == floor[row, column]:
                            continue
                        least = min(level[row - step, column - 1], level[row - step, column])
                        least = min(least, level[row - step, column + 1])
                        least = min(least, level[row, column - step])
                        least = max(least, floor[row, column])
                        if least < level[row, column]:
                            level[row, column] = least
                            sinks = True
    return raised


def bright_regions(
    score: FloatArray,
    brain: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    *,
    level: float,
    seed: float,
    edge: float,
    rim: float,
) -> NDArray[np.bool_]:
    """Find the regions above ``level`` that hold a voxel above ``seed`` (hysteresis, Canny 1986).

    An edge is as wide as the scan is blurred, so that a bright lesion has a rim above ``level``
    that is mostly healthy: a voxel belongs to it that has ``edge`` of the largest score within
    ``REACH_MM``. What is bright along the surface of the brain, dura and vessels that stripping
    left, is no region.

    Args:
        score: ``[N, H, W]``, at least 0.
        brain: ``[N, H, W]``; nothing is known of what lies beyond the first and last slice.
        spacing: voxel size ``(z, y, x)`` in mm.
        level: what every voxel of a region exceeds; its voxels are connected face to face.
        seed: what at least one exceeds.
        edge: from 0 to 1.
        rim: mm, what the median depth of a region's voxels exceeds; depth is the distance to the
            nearest voxel outside of the brain.

    Returns:
        bool ``[N, H, W]``.
    """
    bright = (score > level) & brain
    offsets, _ = _ball(REACH_MM, spacing)
    bright[bright] = score[bright] >= edge * _largest_around(score, np.argwhere(bright), offsets)
    regions, count = ndimage.label(bright)
    if not count:
        return bright
    # A median above the rim is so whatever depths beyond twice the rim are.
    depth = _depth(brain, np.argwhere(bright), *_ball(2 * rim, spacing))
    region, each = regions[bright], np.arange(1, count + 1)
    deep = ndimage.median(depth, region, each) > rim
    sure = ndimage.maximum(score[bright], region, each) > seed
    bright[bright] = (deep & sure)[region - 1]
    return bright


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds a mask ``[N, H, W]`` of at least one voxel."""
    sides = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return tuple(slice(int(used[0]), int(used[-1]) + 1) for used in sides)


def _ball(
    reach: float, spacing: tuple[float, float, float]
) -> tuple[NDArray[np.int64], FloatArray]:
    """The steps to all voxels within ``reach`` mm, ``[m, 3]``, and how far they are, ``[m]``."""
    sides = [np.arange(-int(reach / side), int(reach / side) + 1) for side in spacing]
    steps = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3)
    far = np.sqrt(((steps * spacing) ** 2).sum(axis=1))
    order = np.argsort(far, kind="stable")[: np.count_nonzero(far <= reach)]
    return steps[order], far[order]


def _largest_by_numpy(
    score: FloatArray, places: NDArray[np.int64], steps: NDArray[np.int64]
) -> FloatArray:
    largest: FloatArray = score[tuple(places.T)]
    for step in steps:
        there = places + step
        inside = ((there >= 0) & (there < score.shape)).all(axis=1)
        largest[inside] = np.maximum(largest[inside], score[tuple(there[inside].T)])
    return largest


@compiled_or(_largest_by_numpy)
def _largest_around(
    score: FloatArray, places: NDArray[np.int64], steps: NDArray[np.int64]
) -> FloatArray:
    """The largest score within some steps of each of ``n`` places, ``[n]``."""
    largest = np.empty(len(places))
    planes, rows, columns = score.shape
    for i in range(len(places)):
        found = score[places[i, 0], places[i, 1], places[i, 2]]
        for j in range(len(steps)):
            plane, row = places[i, 0] + steps[j, 0], places[i, 1] + steps[j, 1]
            column = places[i, 2] + steps[j, 2]
            if 0 <= plane < planes and 0 <= row < rows and 0 <= column < columns:
                found = max(found, score[plane, row, column])
        largest[i] = found
    return largest


def _depth_by_numpy(
    brain: NDArray[np.bool_],
    places: NDArray[np.int64],
    steps: NDArray[np.int64],
    far: FloatArray,
) -> FloatArray:
    depth = np.full(len(places), np.inf)
    for step, distance in zip(steps, far, strict=True):
        there = places + step
        known = (there[:, 0] >= 0) & (there[:, 0] < len(brain))
        inside = known & ((there >= 0) & (there < brain.shape)).all(axis=1)
        outside = known & ~inside
        outside[inside] = ~brain[tuple(there[inside].T)]
        depth[outside] = np.minimum(depth[outside], distance)
    return depth


@compiled_or(_depth_by_numpy)
def _depth(
    brain: NDArray[np.bool_],
    places: NDArray[np.int64],
    steps: NDArray[np.int64],
    far: FloatArray,
) -> FloatArray:
    """How far each of ``n`` places is from what is outside of the brain, ``[n]``; else infinite."""
    depth = np.full(len(places), np.inf)
    planes, rows, columns = brain.shape
    for i in range(len(places)):
        for j in range(len(steps)):
            plane, row = places[i, 0] + steps[j, 0], places[i, 1] + steps[j, 1]
            column = places[i, 2] + steps[j, 2]
            if not 0 <= plane < planes:
                continue
            within = 0 <= row < rows and 0 <= column < columns
            if not (within and brain[plane, row, column]):
                depth[i] = far[j]
                break
    return depth
