"""Scores in units of the scan's own healthy bulk, so that a threshold carries over to a scanner."""

from __future__ import annotations

import numpy as np

from uad_bench.evaluation.postprocessing import BrainSlices, FloatArray, Number, PostProcessing

_MIDDLE = 4.0
"""The score 0.5 is that of four times the unit, so that 16 bits resolve both bulk and lesions."""


def calibrated(residual: FloatArray, brain: BrainSlices, share: float) -> FloatArray:
    """Return ``r / (r + 4 q)``, where ``q`` is the quantile of the absolute residual in the brain.

    No order within a scan changes. Where ``q`` is 0, most of the brain has no score that could be
    a unit, and the absolute residual stays as it is.

    Args:
        residual: float32 ``[N, H, W]``.
        brain: the brain on these slices.
        share: the quantile, in [0, 1]. Lesions that fill less than the rest hardly move it.
    """
    found = np.abs(residual)
    inside = found[brain.brain]
    unit = float(np.quantile(inside, share)) if inside.size else 0.0
    return np.divide(found, found + np.float32(_MIDDLE * unit)) if unit > 0 else found


CALIBRATED = PostProcessing(
    name="calibrated",
    version=1,
    mark=" calibrated",
    caption="scores in units of a quantile of the scan's own brain",
    make=calibrated,
    number=Number(unit="of the voxels", default=0.85, least=0.5, most=0.99),
)
