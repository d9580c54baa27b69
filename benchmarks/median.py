"""Median of 3 x 3 pixels with positive residual."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from benchmarks.measure import Row, compare
from uad_bench.evaluation.postprocessings.star import smoothed_excess


def measure() -> list[Row]:
    """Compare with scipy, to the last bit."""
    residual = np.random.default_rng(0).uniform(-1, 1, (78, 128, 128)).astype(np.float32)
    return compare(
        "78 x 128 x 128, float32",
        lambda: smoothed_excess(residual),
        {
            "scipy.ndimage.median_filter": (
                lambda: ndimage.median_filter(
                    np.maximum(residual, 0), size=(1, 3, 3), mode="nearest"
                ),
                20,
            )
        },
        same=np.array_equal,
        repeat=20,
    )
