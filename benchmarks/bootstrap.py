"""Average precision and maximum Dice of 1000 bootstraps of 60 patients."""

from __future__ import annotations

import time

import numpy as np

from benchmarks._voxels import by_sklearn, simulated_voxels
from benchmarks.measure import Row, ratio, timed
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.pooling import pooled_statistics

PATIENTS, DRAWS, VOXELS = 60, 1000, 1_000_000


def measure() -> list[Row]:
    """Compare with scikit-learn, which pools the voxels of one draw; its time is multiplied."""
    scans = [simulated_voxels(VOXELS, seed) for seed in range(PATIENTS)]
    shares = np.full(PATIENTS, 1 / PATIENTS)
    weights = np.random.default_rng(0).multinomial(PATIENTS, shares, DRAWS)

    def ours() -> np.ndarray:
        """Count the voxels of each patient once, and pool the counts of each draw."""
        return pooled_statistics([ScoreHistogram.of(*scan) for scan in scans], weights)

    drawn = np.repeat(np.arange(PATIENTS), weights[0])
    start = time.perf_counter()
    scores, lesion = (np.concatenate([scans[at][kind] for at in drawn]) for kind in (0, 1))
    one = by_sklearn(scores, lesion)
    took = time.perf_counter() - start
    found = ours()[0]
    assert np.allclose(found, (one.average_precision, one.max_dice), rtol=0, atol=1e-9), (
        "scikit-learn gives another result"
    )
    seconds = timed({"": ours}, repeat=3)
    return [
        ratio(
            f"{PATIENTS} patients of 1e6 voxels, counting included",
            seconds[""],
            f"scikit-learn, one draw measured, times {DRAWS}",
            took * DRAWS,
            5000,
        )
    ]
