"""Regions of a scan that are bright together: smoothing that keeps edges, holes, and hysteresis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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
    from skimage.restoration import denoise_tv_chambolle

    box = _box(brain)
    inside = brain[box]
    whole = np.where(inside, image[box], outside)
    smooth: FloatArray = denoise_tv_chambolle(whole, weight=weight)[inside]
    return smooth


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
    from skimage.morphology import reconstruction

    box, frame = _box(score > 0), ((0, 0), (1, 1), (1, 1))
    inside = np.pad(score[box], frame)
    from_above = np.pad(np.full_like(score[box], score.max()), frame)
    raised = score.copy()
    raised[box] = reconstruction(from_above, inside, "erosion", np.ones((1, 3, 3)))[:, 1:-1, 1:-1]
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
    bright[bright] = score[bright] >= edge * _largest_around(score, bright, spacing)
    regions, count = ndimage.label(bright)
    if not count:
        return bright
    framed = np.pad(brain, ((0, 0), (1, 1), (1, 1)))
    depth = ndimage.distance_transform_edt(framed, sampling=spacing)[:, 1:-1, 1:-1]
    region, each = regions[bright], np.arange(1, count + 1)
    deep = ndimage.median(depth[bright], region, each) > rim
    sure = ndimage.maximum(score[bright], region, each) > seed
    bright[bright] = (deep & sure)[region - 1]
    return bright


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds a mask ``[N, H, W]`` of at least one voxel."""
    sides = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return tuple(slice(int(used[0]), int(used[-1]) + 1) for used in sides)


def _largest_around(
    score: FloatArray, where: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> FloatArray:
    """The largest score within ``REACH_MM`` of some voxels, ``[n]``."""
    reach = [int(REACH_MM / side) for side in spacing]
    padded = np.pad(score, [(steps, steps) for steps in reach])
    at = np.nonzero(where)
    largest = score[where]
    for step in np.ndindex(*(2 * steps + 1 for steps in reach)):
        away = np.subtract(step, reach) * spacing
        if away @ away <= REACH_MM**2:
            there = padded[tuple(index + shift for index, shift in zip(at, step, strict=True))]
            np.maximum(largest, there, out=largest)
    return largest
