"""Control: a ball in the centre of the brain, which sees the brain mask and not the image."""

from __future__ import annotations

import numpy as np

from uad_bench.method import FitContext, FitReport, FloatArray, Method, MethodInfo, Slices

_FARTHEST_MM = 150.0


class ControlCentre(Method):
    """Scores a voxel by how near it is to the centre of mass of the brain, in mm.

    Any threshold predicts a ball. The score falls from 1 at the centre by 1/150 per mm; no brain
    reaches that far.
    """

    info = MethodInfo(
        name="control-centre",
        title="Centre",
        trains=False,
        control=True,
        beside="all",
    )

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Learn nothing."""
        return FitReport()

    def score(self, slices: Slices) -> FloatArray:
        """Return the score ``[N, 1, H, W]`` of one scan, 0 outside the brain."""
        score = np.zeros(slices.brain.shape, np.float32)
        row, _, *inside = np.nonzero(slices.brain)
        if len(row):
            places = np.stack([np.asarray(slices.z)[row], *inside]) * np.c_[list(slices.spacing)]
            away = np.linalg.norm(places - places.mean(axis=1, keepdims=True), axis=0)
            score[np.asarray(slices.brain)] = np.maximum(1.0 - away / _FARTHEST_MM, 0.0)
        return score
