"""Distances to the nearest voxel of a mask, as scipy has them, in a fraction of the time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.kernels import compiled, compiled_or


def distance_to(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distances from voxel centres to the nearest centre inside a mask, in voxels; 0 inside.

    Args:
        mask: bool ``[X, Y, Z]``, not empty.

    Returns:
        float64 ``[X, Y, Z]``, the numbers of ``scipy.ndimage.distance_transform_edt``.
    """
    return _distance(np.ascontiguousarray(mask))


def _distance_plain(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(ndimage.distance_transform_edt(~mask), dtype=np.float64)


@compiled_or(_distance_plain)
def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Squared distances along one axis after the other (Meijster, Roerdink and Hesselink 2000)."""
    size_x, size_y, size_z = mask.shape
    far = (size_x + size_y + size_z) ** 2
    squared = np.empty(mask.shape, dtype=np.int32)
    for i in range(size_x):
        for j in range(size_y):
            apart = size_x + size_y + size_z
            for k in range(size_z):
                apart = 0 if mask[i, j, k] else apart + 1
                squared[i, j, k] = apart
            apart = size_x + size_y + size_z
            for back in range(size_z):
                k = size_z - 1 - back
                apart = 0 if mask[i, j, k] else apart + 1
                nearest = min(squared[i, j, k], apart)
                squared[i, j, k] = min(nearest * nearest, far)
    longest = max(size_x, size_y)
    line = np.empty(longest, dtype=np.int64)
    sites, starts = np.empty(longest, dtype=np.int64), np.empty(longest, dtype=np.int64)
    for i in range(size_x):
        for k in range(size_z):
            _nearest_along(squared[i, :, k], line, sites, starts)
    for j in range(size_y):
        for k in range(size_z):
            _nearest_along(squared[:, j, k], line, sites, starts)
    return np.sqrt(squared)


@compiled
def _nearest_along(
    squared: NDArray[np.int32],
    line: NDArray[np.int64],
    sites: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> None:
    """Replace squared distances by those that also go along this line.

    Args:
        squared: ``[N]``, without this axis; is changed.
        line: room for them.
        sites: room for the places whose distance is the least somewhere.
        starts: room for where that begins.
    """
    size, last = len(squared), 0
    line[:size] = squared
    sites[0] = starts[0] = 0
    for at in range(1, size):
        while last >= 0:
            begin, site = starts[last], sites[last]
            if (begin - site) ** 2 + line[site] <= (begin - at) ** 2 + line[at]:
                break
            last -= 1
        if last < 0:
            last, sites[0], starts[0] = 0, at, 0
            continue
        site = sites[last]
        ahead = at * at - site * site + line[at] - line[site]
        start = 1 + math.floor(ahead / (2 * (at - site)))  # exact: a whole number over a small one
        if start < size:
            last += 1
            sites[last], starts[last] = at, start
    for back in range(size):
        at = size - 1 - back
        site = sites[last]
        squared[at] = (at - site) ** 2 + line[site]
        if at == starts[last]:
            last -= 1
