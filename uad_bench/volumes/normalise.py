"""Intensity normalisation inside the brain: scanner units to [0, 1]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import ScanError
from uad_bench.volumes.recipe import Recipe

FloatArray = NDArray[np.float32]


def normalise(image: FloatArray, brain: NDArray[np.bool_], recipe: Recipe) -> FloatArray:
    """Scale ``image`` by the recipe's rule and clip to [0, 1]; 0 outside the brain.

    With the percentiles p of the voxels inside ``brain``:
    ``median``: ``anchor * (x - p(low)) / (p(50) - p(low))``, which puts the median at ``anchor``;
    ``percentile``: ``(x - p(low)) / (p(high) - p(low))``.

    Args:
        image: float32, any shape, in scanner units.
        brain: bool, same shape, not empty.
        recipe: which rule, and its numbers.

    Raises:
        ScanError: when the brain has no contrast between the two percentiles.
    """
    upper = 50.0 if recipe.normalisation == "median" else recipe.high
    value = recipe.anchor if recipe.normalisation == "median" else 1.0
    low, high = np.percentile(image[brain].astype(np.float64), (recipe.low, upper))
    if not high > low:
        raise ScanError(
            f"the brain has one value, {low:g}, from its percentile {recipe.low:g} to {upper:g}; "
            "check the FLAIR"
        )
    scaled = (image - low) * (value / (high - low))
    return np.where(brain, scaled.clip(0.0, 1.0), 0.0).astype(np.float32)


def saturated_share(
    image: FloatArray, brain: NDArray[np.bool_], lesion: NDArray[np.bool_]
) -> float | None:
    """Return the share of lesion voxels in the brain that are clipped at 1; ``None`` without any.

    A saturated lesion looks like any other bright voxel, whatever the method does.
    """
    inside = lesion & brain
    count = int(inside.sum())
    return float((image[inside] >= 1.0).sum()) / count if count else None
