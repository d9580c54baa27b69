"""Nothing below a quantile of the scan's own scores.

The prior quantile of Baur et al. (2021) is of the image: the residual is 0 where the scan is
darker than that quantile. A post-processing does not see the image.
"""

from __future__ import annotations

import numpy as np

from uad_bench.evaluation.postprocessing import FloatArray, Number, PostProcessing


def above_quantile(residual: FloatArray, share: float) -> FloatArray:
    """Return the absolute residual, 0 where it is below a quantile over all voxels of the slices.

    Background counts, as theirs: 0.9 of all voxels are about half of those of the brain.

    Args:
        residual: float32 ``[N, H, W]``.
        share: the quantile, in [0, 1].
    """
    found = np.abs(residual)
    return np.where(found < np.quantile(found, share), np.float32(0), found)


PRIOR_QUANTILE = PostProcessing(
    name="prior-quantile",
    version=1,
    mark=" prior-quantile",
    caption="0 below a quantile of all voxels of the scan",
    make=lambda residual, _, share: above_quantile(residual, share),
    number=Number(unit="of the voxels", default=0.9, least=0.01, most=0.999),
)
