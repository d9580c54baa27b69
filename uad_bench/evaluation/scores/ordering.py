"""Do scores still rank voxels once they are 16 bits? Too fine a scale and a clipped top do not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.evaluation.scores.tally import LEVELS

TOP_SHARE = 0.05
"""The highest-scored voxels are looked at: false-positive rates of 1 and 5 % cut through them."""

MOST_TIED = 0.01
"""Share of pairs of the highest-scored voxels that may lose their order."""

MOST_SATURATED = 0.01
"""Share of healthy voxels that may have the highest score: the false-positive rate of 1 %, which no
threshold reaches beyond it."""


@dataclass(frozen=True, slots=True)
class Ordering:
    """How much of the order of an anomaly map its scores keep.

    Attributes:
        tied: share in [0, 1] of the pairs among the highest-scored 5 % of the voxels whose values
            differ in the map and whose scores are equal.
        saturated: share in [0, 1] of the healthy voxels with the highest score.
    """

    tied: float
    saturated: float

    @property
    def faults(self) -> tuple[str, ...]:
        """What is lost, one line each; nothing where a ranking can be trusted."""
        found = []
        if self.tied > MOST_TIED:
            found.append(
                "its anomaly maps lose their order as 16-bit scores, more than "
                f"{MOST_TIED:.0%} of the pairs among the highest {TOP_SHARE:.0%} of the voxels "
                "become equal; spread the maps over [0, 1]"
            )
        if self.saturated > MOST_SATURATED:
            found.append(
                f"its scores saturate, more than {MOST_SATURATED:.0%} of the healthy voxels have "
                "the highest one, and no threshold has so low a false-positive rate"
            )
        return tuple(found)


def ordering(anomaly: ArrayLike, healthy: NDArray[np.bool_]) -> Ordering:
    """Compare the order of in-brain voxels before and after they become 16-bit scores.

    A value that many voxels share before, as 0 in a map of few findings, is no loss.

    Args:
        anomaly: the anomaly map's voxels inside the brain, ``[M]``, in [0, 1].
        healthy: which of them are not lesion, bool ``[M]``.
    """
    values = np.asarray(anomaly)
    scores = quantise(values)
    top = math.ceil(TOP_SHARE * values.size)
    tied = 0.0
    if top >= 2:
        chosen = np.partition(values, values.size - top)[values.size - top :]
        tied = _equal_pairs(quantise(chosen)) - _equal_pairs(chosen)
    saturated = float((scores[healthy] == LEVELS - 1).mean()) if healthy.any() else 0.0
    return Ordering(tied, saturated)


def mean_ordering(found: list[Ordering]) -> Ordering:
    """Return the mean over scans; nothing is lost where there is none."""
    if not found:
        return Ordering(0.0, 0.0)
    return Ordering(
        sum(one.tied for one in found) / len(found),
        sum(one.saturated for one in found) / len(found),
    )


def _equal_pairs(values: NDArray[np.generic]) -> float:
    """The share of the pairs of two different voxels that are equal."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / (values.size * (values.size - 1)))
