"""Lesions found against false findings per scan, over all thresholds (FROC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.masks.lesions import match_lesions
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import ScoreHistogram, threshold_at_fpr

POINTS = 30
"""Thresholds of a curve."""

_LEAST_SHARE, _LARGEST_SHARE = 1e-6, 0.2
"""Shares of the healthy voxels between which the thresholds of a curve are spread."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LesionCounts:
    """The lesions of a scan, and what is found at each of some thresholds.

    Attributes:
        lesions: how many there are.
        found: int64 ``[T]``, lesions that a finding stands for.
        false: int64 ``[T]``, findings that stand for no lesion.
    """

    lesions: int
    found: NDArray[np.int64]
    false: NDArray[np.int64]


def froc_thresholds(histogram: ScoreHistogram) -> tuple[int, ...]:
    """Return thresholds, the highest first, that evenly cover the orders of false positives.

    Args:
        histogram: in-brain scores of all scans.

    Raises:
        UadBenchError: if it has no healthy voxel.
    """
    shares = np.geomspace(_LEAST_SHARE, _LARGEST_SHARE, POINTS)
    found = {threshold_at_fpr(histogram, float(share)) for share in shares}
    return tuple(sorted(found, reverse=True))


def count_lesions(scan: ScoredScan, thresholds: Sequence[int]) -> LesionCounts:
    """Match the lesions of a scan with the findings at each threshold, as protocol strict does.

    Args:
        scan: its scores, lesions and brain.
        thresholds: as 16-bit scores.
    """
    lesion = scan.volume(scan.lesion_mask)
    matches = [
        match_lesions(scan.volume(scan.predicted(one) & scan.brain), lesion, scan.spacing)
        for one in thresholds
    ]
    return LesionCounts(
        matches[0].lesions,
        np.array([one.matched for one in matches], np.int64),
        np.array([one.false_findings for one in matches], np.int64),
    )


def froc(scans: Sequence[LesionCounts]) -> tuple[Floats, Floats] | None:
    """Return false findings per scan, rising, and the largest share of lesions found with so few.

    A low threshold joins findings, and then finds fewer lesions with fewer false findings. A point
    is therefore kept only where more lesions are found than with fewer false findings.

    Args:
        scans: of all scans, those without lesions too, at the same thresholds.

    Returns:
        Both ``[P]``, or ``None`` without lesions.

    >>> import numpy as np
    >>> one = LesionCounts(4, np.array([1, 3, 2]), np.array([0, 2, 1]))
    >>> none = LesionCounts(0, np.array([0, 0, 0]), np.array([0, 0, 3]))
    >>> [points.tolist() for points in froc([one, none])]
    [[0.0, 1.0], [0.25, 0.75]]
    """
    lesions = sum(one.lesions for one in scans)
    if not lesions:
        return None
    share = np.sum([one.found for one in scans], axis=0) / lesions
    false = np.sum([one.false for one in scans], axis=0) / len(scans)
    order = np.lexsort((-share, false))
    share, false = share[order], false[order]
    before = np.concatenate([[-1.0], np.maximum.accumulate(share)[:-1]])
    better = share > before
    return false[better], share[better]
