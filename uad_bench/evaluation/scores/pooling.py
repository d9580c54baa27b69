"""Statistics of the pooled voxels of subjects that count a different number of times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.scores.histograms import ScoreHistogram

_DRAWS = 64
"""Draws that are pooled at once. Only the subjects that they change are in memory."""


def pooled_statistics(
    subjects: Sequence[ScoreHistogram], weights: Iterable[NDArray[np.integer]]
) -> NDArray[np.float64]:
    """Average precision and maximum Dice of all voxels, for one set of weights after the other.

    The threshold of the maximum Dice is searched anew each time. Weights of 0 and 1 leave subjects
    out (jackknife); the counts of a draw with replacement are a bootstrap. Only levels that a
    lesion voxel has can change average precision or be the best threshold, so only those are kept.

    Args:
        subjects: one histogram per subject.
        weights: for each draw, how many times each subject counts: integers of 0 or more,
            ``[subjects]``.

    Returns:
        float64 ``[draws, 2]``; NaN where no lesion voxel counts.

    Examples:
        >>> import numpy as np
        >>> scores = np.array([[9, 7], [5, 8]], np.uint16)
        >>> lesion = np.array([1, 0], np.uint8)
        >>> people = [ScoreHistogram.of(one, lesion) for one in scores]
        >>> pooled_statistics(people, np.array([[1, 1], [1, 0], [0, 2]])).round(3)
        array([[0.75 , 0.667],
               [1.   , 1.   ],
               [0.5  , 0.667]])
    """
    everyone = ScoreHistogram.pooled(subjects)
    levels = everyone.lesion.levels
    if not len(levels):
        return np.full((sum(1 for _ in weights), 2), np.nan)
    searched = slice(1 if levels[0] == 0 else 0, None)
    hits, found = _reached(everyone, levels)
    draws, statistics = iter(weights), []
    while some := list(islice(draws, _DRAWS)):
        change = np.subtract(some, 1, dtype=np.float64)
        changed = np.flatnonzero(change.any(axis=0))
        own = np.array([_reached(subjects[at], levels) for at in changed])
        own = own.reshape(len(changed), 2, len(levels))
        more = (change[:, changed] @ own[:, kind] for kind in (0, 1))
        statistics += [
            _pooled(hits + more_hits, found + more_found, searched)
            for more_hits, more_found in zip(*more, strict=True)
        ]
    return np.array(statistics).reshape(-1, 2)


def pseudo_values(subjects: Sequence[ScoreHistogram]) -> NDArray[np.float64]:
    """What each subject contributes to average precision and to maximum Dice of all voxels.

    The jackknife's pseudo-value of subject i is ``n t - (n - 1) t_i``, where ``t`` is the statistic
    of all ``n`` subjects and ``t_i`` that without subject i. Pseudo-values can be compared as
    numbers of single subjects are (Dorfman, Berbaum and Metz 1992). They are moved so that their
    mean is ``t``.

    Args:
        subjects: one histogram per subject, two or more.

    Returns:
        float64 ``[2, subjects]``; NaN where a statistic is undefined.
    """
    count = len(subjects)
    places = np.arange(count)
    kept = ((places != left_out).astype(np.int8) for left_out in (-1, *places))
    everyone, *without = pooled_statistics(subjects, kept)
    values = count * everyone - (count - 1) * np.array(without)
    moved: NDArray[np.float64] = values - values.mean(axis=0) + everyone
    return moved.T


def _reached(
    histogram: ScoreHistogram, levels: NDArray[np.uint16]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lesion voxels, and voxels in all, at and above each level."""
    hits = histogram.lesion.at_or_above(levels).astype(np.float64)
    return hits, hits + histogram.healthy.at_or_above(levels)


def _pooled(
    hits: NDArray[np.float64], found: NDArray[np.float64], searched: slice
) -> tuple[float, float]:
    """Average precision and maximum Dice of counts at and above each level."""
    if not hits[0]:
        return np.nan, np.nan
    gained = hits - np.append(hits[1:], 0.0)
    share = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
    dice = 2.0 * hits[searched] / (found[searched] + hits[0])
    return float((gained * share).sum() / hits[0]), float(dice.max(initial=0.0))
