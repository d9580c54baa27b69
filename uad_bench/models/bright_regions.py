"""Regions of a scan that are bright together: smoothing that keeps edges, and hysteresis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


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

    box = tuple(
        slice(int(used[0]), int(used[-1]) + 1)
        for used in (np.flatnonzero(brain.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    )
    inside = brain[box]
    filled = np.where(inside, image[box], outside)
    smooth: FloatArray = denoise_tv_chambolle(filled, weight=weight)[inside]
    return smooth


def bright_regions(score: FloatArray, level: float, seed: float) -> NDArray[np.bool_]:
    """Find the regions above ``level`` that hold a voxel above ``seed`` (hysteresis, Canny 1986).

    Args:
        score: ``[N, H, W]``.
        level: what every voxel of a region exceeds; its voxels are connected face to face.
        seed: what at least one exceeds, at least ``level``.

    Returns:
        bool ``[N, H, W]``.
    """
    from skimage.filters import apply_hysteresis_threshold

    regions: NDArray[np.bool_] = apply_hysteresis_threshold(score, level, seed)
    return regions
