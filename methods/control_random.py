"""Control: random scores, which see neither the image nor anything else of the person."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from uad_bench.method import FitContext, FitReport, FloatArray, Method, MethodInfo, Slices


class ControlRandom(Method):
    """Scores every voxel of the brain by an independent draw from [0, 1).

    The draws of a slice follow from the seed, its place in the atlas and its brain mask, so they
    are the same however slices are batched.
    """

    info = MethodInfo(
        name="control-random",
        title="Random",
        trains=False,
        draws=True,
        control=True,
        beside="all",
    )
    seed_: int

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Keep the seed."""
        self.seed_ = context.seed
        return FitReport()

    def score(self, slices: Slices) -> FloatArray:
        """Return the draws ``[N, 1, H, W]``, 0 outside the brain."""
        score = np.zeros(slices.brain.shape, np.float32)
        for drawn, brain, z in zip(score, slices.brain, slices.z, strict=True):
            draws = np.random.default_rng((self.seed_, int(z), crc32(np.packbits(brain).tobytes())))
            drawn[brain] = draws.random(int(brain.sum()), dtype=np.float32)
        return score
