"""Bias-field correction by N4 (Tustison et al. 2010), as ANTs has it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.errors import ScanError
from uad_bench.volumes.grid import Affine, FloatArray
from uad_bench.volumes.steps.register import grid_around, load_ants, to_ants

_STEP_MM = 4.0
"""The field is estimated at this distance, whatever the scan's grid: ANTs' shrink factor 4 for
1 mm voxels, but along thick slices, too."""

_CONVERGENCE = {"iters": [50, 50, 50, 50], "tol": 1e-3}
"""Four levels of splines, each until the field changes by less than ITK's default: antspyx' own
1e-7 takes three times as long and recovers a known field no better."""


def correct_bias(image: FloatArray, brain: NDArray[np.bool_], affine: Affine) -> FloatArray:
    """Divide the smooth multiplicative field out of a scan.

    The mean of the brain stays as it was. The same input gives the same result.

    Args:
        image: float32 ``[X, Y, Z]``, scanner units; values below 0 count as 0.
        brain: bool ``[X, Y, Z]``, not empty.
        affine: voxel to world coordinates in mm (RAS+), any axes, thick or oblique slices.

    Returns:
        float32 ``[X, Y, Z]``, positive in the brain wherever ``image`` is, 0 outside the brain.

    Raises:
        ScanError: when the brain holds no positive value, or N4 fails.
        UadBenchError: when ANTs is not installed.
    """
    values = np.where(brain, image, 0).clip(0).astype(np.float32)
    if not values.any():
        raise ScanError("bias correction found no positive value in the brain; check its mask")
    log_field = _log_field(values, brain, affine)
    corrected = values * np.exp(-log_field)
    return np.asarray(corrected * (values.sum() / corrected.sum()), dtype=np.float32)


def _log_field(values: FloatArray, brain: NDArray[np.bool_], affine: Affine) -> FloatArray:
    """The logarithm of the field on the scan's own voxels."""
    grid = grid_around(brain, affine, step=_STEP_MM, margin=_STEP_MM)
    to_voxel = np.linalg.inv(affine) @ grid.affine
    # Nearest voxels, as ANTs shrinks: means would mix tissues, which N4 tells apart.
    coarse, mask = (
        ndimage.affine_transform(
            part, to_voxel, output_shape=grid.shape, order=0, mode="grid-constant"
        )
        for part in (values, ((values > 0) & brain).astype(np.float32))
    )
    field = load_ants().n4_bias_field_correction(
        to_ants(coarse, grid),
        mask=to_ants(mask, grid),
        shrink_factor=1,
        convergence=_CONVERGENCE,
        return_bias_field=True,
    )
    found = field.numpy()
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise ScanError("bias correction failed in N4; check the brain mask")
    return np.asarray(
        ndimage.affine_transform(
            np.log(found), np.linalg.inv(to_voxel), output_shape=values.shape, order=1,
            mode="nearest",
        ),
        dtype=np.float32,
    )  # fmt: skip
