"""The median of a cube of voxels, of 5 voxels a side as Baur et al. (2021) have it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from uad_bench.evaluation.postprocessing import BrainSlices, FloatArray, Number, PostProcessing
from uad_bench.evaluation.stack import stacked, unstacked


def median_of_cubes(residual: FloatArray, brain: BrainSlices, side: float) -> FloatArray:
    """Return the median of the absolute residual over a cube around each voxel; 0 beyond the edge.

    Args:
        residual: float32 ``[N, H, W]``.
        brain: the brain on these slices.
        side: voxels along each edge of the cube, odd.
    """
    volume = stacked(np.abs(residual), brain.z)
    return unstacked(ndimage.median_filter(volume, size=int(side), mode="constant"), brain.z)


MEDIAN3D = PostProcessing(
    name="median3d",
    version=1,
    mark=" median3d",
    caption="median of a cube",
    make=median_of_cubes,
    number=Number(unit="voxels a side", default=5, least=3, most=9, odd=True),
)
