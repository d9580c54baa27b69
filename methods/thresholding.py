"""Thresholding of the FLAIR intensity itself (Meissen et al. 2021, arXiv:2109.06023)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from uad_bench import method
from uad_bench.method import FitContext, FitReport, FloatArray, MethodInfo, Slices


class Thresholding(method.Method):
    """The score is the intensity, or its place among the intensities of the scan's brain."""

    class Params(method.Params):
        """Which intensity."""

        variant: Literal["raw", "histeq", "quantile"] = "raw"
        """``raw`` intensity; ``histeq``, equalised over 256 bins; ``quantile``, the exact share of
        the scan's brain voxels that are no brighter."""

    info = MethodInfo(
        name="thresholding",
        title="Thresh.",
        citation="Meissen et al. 2021",
        trains=False,
    )
    params: Params

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Learn nothing."""
        return FitReport()

    def score(self, slices: Slices) -> FloatArray:
        """Return the score ``[N, 1, H, W]`` of one scan, in [0, 1], 0 outside the brain."""
        image, brain = np.asarray(slices.image), np.asarray(slices.brain)
        score = np.where(brain, image, np.float32(0))
        inside = score[brain]
        if self.params.variant == "raw" or not inside.size:
            return score
        if self.params.variant == "quantile":
            rank = np.searchsorted(np.sort(inside), inside, side="right")
            score[brain] = rank / inside.size
        else:
            counts, edges = np.histogram(inside, bins=256)
            centres = (edges[:-1] + edges[1:]) / 2
            score[brain] = np.interp(inside, centres, np.cumsum(counts) / inside.size)
        return score
