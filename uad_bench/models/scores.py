"""Scores without a natural scale, brought into [0, 1) without losing their order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_HIGH = 0.99
_LEAST = 1e-12


def typical(scores: FloatArray) -> float:
    """Return the scale of healthy scores: the 99th percentile, above 0 also where all are 0.

    Args:
        scores: of healthy voxels, of any shape, 0 or more.
    """
    return max(float(np.quantile(scores, _HIGH)), _LEAST)


def bounded(scores: FloatArray, scale: float) -> FloatArray:
    """Return ``s / (s + scale)``, float32 in [0, 1).

    Half of the range is below ``scale`` and half above it, so that high scores never saturate and
    16 bits tell them apart.

    Args:
        scores: of any shape, 0 or more.
        scale: above 0.
    """
    found: FloatArray = (scores / (scores + np.float32(scale))).astype(np.float32, copy=False)
    return found
