"""Control: the mean training brain of the same atlas slice as the reconstruction.

It knows where healthy tissue is bright, and nothing of the person at hand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uad_bench.method import (
    FitContext,
    FitReport,
    FloatArray,
    MethodInfo,
    ReconstructionMethod,
    Slices,
)


class ControlMean(ReconstructionMethod):
    """Reconstructs every slice by the training dataset's mean at its place in the atlas.

    The mean of a voxel runs over the people in whose brain it lies; a slice that no training
    scan has takes the nearest one.
    """

    info = MethodInfo(
        name="control-mean",
        title="Mean",
        control=True,
        beside="all",
    )
    mean_: FloatArray
    z_: NDArray[np.int64]

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Average the training slices of each atlas index."""
        self.z_, place = np.unique(np.asarray(train.z), return_inverse=True)
        total = np.zeros((len(self.z_), *train.image.shape[2:]))
        count = np.zeros_like(total)
        for row, index in enumerate(place):
            brain = np.asarray(train.brain[row, 0])
            total[index] += np.where(brain, train.image[row, 0], 0.0)
            count[index] += brain
        self.mean_ = (total / np.maximum(count, 1)).astype(np.float32)
        error = np.abs(validation.image - self.reconstruct(validation)).mean()
        return FitReport(slices_seen=len(train), validation={"l1": float(error)})

    def reconstruct(self, slices: Slices) -> FloatArray:
        """Return the mean brain ``[N, 1, H, W]``, 0 outside the brain of the scan at hand."""
        distance = np.abs(np.asarray(slices.z)[:, None] - self.z_)
        nearest = self.mean_[distance.argmin(axis=1)][:, None]
        return np.where(slices.brain, nearest, np.float32(0))
