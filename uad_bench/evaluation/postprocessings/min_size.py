"""No small findings: at every threshold, components below a volume are gone."""

from __future__ import annotations

from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.postprocessing import BrainSlices, FloatArray, Number, PostProcessing
from uad_bench.evaluation.stack import stacked, unstacked
from uad_bench.kernels import compiled

Integers = NDArray[np.int64]


def without_small(residual: FloatArray, brain: BrainSlices, mm3: float) -> FloatArray:
    """Return the largest map below the absolute residual that has no small component.

    It is the area opening of the absolute residual: whatever the threshold, a component of the
    voxels that reach it is there if it has the volume, and gone if it has not. Voxels that share a
    corner belong together.

    Args:
        residual: float32 ``[N, H, W]``.
        brain: the brain on these slices.
        mm3: the smallest volume that stays.
    """
    least = ceil(mm3 / prod(brain.spacing) - 1e-9)
    # Row by row: the flat voxels of any other order would be a copy, and the volume left as it is.
    volume = np.pad(np.ascontiguousarray(stacked(np.abs(residual), brain.z)), 1)
    _, height, width = volume.shape
    near = np.arange(-1, 2)
    offsets = (near[:, None, None] * height + near[:, None]) * width + near
    values = volume.ravel()
    seen = np.flatnonzero(values)
    order = seen[np.argsort(-values[seen], kind="stable")]
    _open(values, order, offsets.ravel(), least)
    return unstacked(volume[1:-1, 1:-1, 1:-1], brain.z)


@compiled
def _open(values: FloatArray, order: Integers, offsets: Integers, least: int) -> None:
    """Lower each voxel to the level at which its component has ``least`` voxels.

    A union-find from the highest voxel down (Meijster and Wilkinson 2002): a component that is too
    small joins the next lower voxel that it touches, and takes its level.

    Args:
        values: of all voxels, flat, with an edge of zeros; changed.
        order: the voxels above 0, from high to low.
        offsets: from a voxel to its neighbours.
        least: voxels.
    """
    parents = np.full(len(values), -1, np.int64)
    sizes = np.zeros(len(values), np.int64)
    for voxel in order:
        parents[voxel], sizes[voxel] = voxel, 1
        for offset in offsets:
            if parents[voxel + offset] < 0:
                continue
            root = voxel + offset
            while parents[root] != root:
                parents[root] = parents[parents[root]]
                root = parents[root]
            if root == voxel:
                continue
            if sizes[root] < least or values[root] == values[voxel]:
                parents[root] = voxel
                sizes[voxel] += sizes[root]
            else:
                sizes[voxel] = max(sizes[voxel], least)
    for voxel in order[::-1]:  # a parent is lower, and has its level by then
        if parents[voxel] != voxel:
            values[voxel] = values[parents[voxel]]
        elif sizes[voxel] < least:
            values[voxel] = 0


MIN_SIZE = PostProcessing(
    name="min-size",
    version=1,
    mark=" min-size",
    caption="no components smaller than a volume, at any threshold",
    make=without_small,
    number=Number(unit="mm3", default=30, least=1, most=10_000),
)
