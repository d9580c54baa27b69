"""Control: a black reconstruction, whose residual is the image itself.

A network that collapses to dark output scores like this; a detector must do better.
"""

from __future__ import annotations

import numpy as np

from uad_bench.method import (
    FitContext,
    FitReport,
    FloatArray,
    MethodInfo,
    ReconstructionMethod,
    Slices,
)


class ControlBlack(ReconstructionMethod):
    """Reconstructs nothing."""

    info = MethodInfo(
        name="control-black",
        title="Black",
        trains=False,
        control=True,
        beside="all",
    )

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Learn nothing."""
        return FitReport()

    def reconstruct(self, slices: Slices) -> FloatArray:
        """Return zeros ``[N, 1, H, W]``."""
        return np.zeros(slices.image.shape, np.float32)
