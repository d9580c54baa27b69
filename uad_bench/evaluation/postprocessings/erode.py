"""Nothing near the edge of the brain, where skull and registration leave bright rims."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from uad_bench.evaluation.postprocessing import BrainSlices, FloatArray, Number, PostProcessing
from uad_bench.evaluation.stack import stacked, unstacked


def eroded(residual: FloatArray, brain: BrainSlices, mm: float) -> FloatArray:
    """Return the absolute residual, 0 outside the brain and up to ``mm`` inside its edge.

    The distance of a voxel is that of its centre to the nearest centre outside the brain, in 3D.
    What is beyond the first and the last slice is outside.

    Args:
        residual: float32 ``[N, H, W]``.
        brain: the brain on these slices.
        mm: the width of the rim.
    """
    inside = np.pad(stacked(brain.brain, brain.z), 1)
    depth = ndimage.distance_transform_edt(inside, sampling=brain.spacing)[1:-1, 1:-1, 1:-1]
    return np.where(unstacked(depth, brain.z) > mm, np.abs(residual), np.float32(0))


ERODE = PostProcessing(
    name="erode",
    version=1,
    mark=" erode",
    caption="no score near the edge of the brain",
    make=eroded,
    number=Number(unit="mm", default=3, least=0.5, most=30),
)
