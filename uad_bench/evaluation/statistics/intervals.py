"""95 % intervals over subjects: Student's t on a scale that has no ends.

A mean of a few values in [0, 1], or of a few skewed distances, is not normal. Its logit, or its
logarithm, is nearly so. An interval is Student's t around the transformed estimate, with the
standard error carried over by the delta method (for a mean) or found by leaving out one subject
after the other (jackknife; Efron and Tibshirani 1993, chapter 11), and transformed back. It
therefore always holds the estimate and never leaves the range of the metric. Nothing is drawn at
random. ``studies/coverage.py`` measures how often such intervals hold the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.pooling import pooled_statistics

FEWEST = 4
"""Subjects that an interval needs."""

Scale = Literal["share", "amount"]
"""``share``: in [0, 1], such as Dice. ``amount``: 0 or more, such as a distance in mm."""

CurveSource = Callable[[], Iterable[NDArray[np.float64]]]
"""Yields the curves of some subjects, so that no more than one has to be in memory; each call
starts again and yields the same."""

_LEVELS: dict[Scale, float] = {"share": 0.95, "amount": 0.965}
_POOLED_LEVEL = 0.965
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


def mean_interval(values: Sequence[float], scale: Scale) -> Interval | None:
    """The interval of a mean over subjects.

    Args:
        values: one number per subject, in the range of ``scale``.
        scale: where such a number can be.

    Returns:
        The interval; ``None`` for fewer than four subjects, and where all have the same value,
        because such values do not show how much another subject would differ.
    """
    if len(values) < FEWEST:
        return None
    found = np.asarray(values, dtype=np.float64)
    error = float(found.std(ddof=1)) / sqrt(len(found))
    return _around(float(found.mean()), error, len(found), scale, _LEVELS[scale])


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], scale: Scale
) -> Interval | None:
    """The jackknife interval of ``sum numerators / sum denominators``, one pair per subject.

    Subjects whose denominator is 0 say nothing about the ratio and are left out. ``None`` for
    fewer than four others, and where leaving one out never changes the ratio.
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    above, below = above[below > 0], below[below > 0]
    if len(below) < FEWEST:
        return None
    without = (above.sum() - above) / (below.sum() - below)
    value = float(above.sum() / below.sum())
    return _around(value, _jackknife_error(without), len(below), scale, _POOLED_LEVEL)


def best_mean_interval(curves: CurveSource) -> Interval | None:
    """The jackknife interval of the best mean Dice over one common threshold.

    The threshold is searched anew without each subject.

    Args:
        curves: called to start reading: one curve over the thresholds per subject, in [0, 1].

    Returns:
        The interval, which holds the best mean; ``None`` as in :func:`mean_interval`.
    """
    subjects, total = 0, np.zeros(1)
    for curve in curves():
        subjects, total = subjects + 1, total + curve
    if subjects < FEWEST:
        return None
    without = np.array([(total - curve).max() for curve in curves()]) / (subjects - 1)
    value = float(total.max()) / subjects
    return _around(value, _jackknife_error(without), subjects, "share", _LEVELS["share"])


@dataclass(frozen=True, slots=True)
class PooledIntervals:
    """Intervals of the two pooled statistics of a set of score histograms."""

    average_precision: Interval | None
    max_dice: Interval | None


def pooled_intervals(subjects: Sequence[ScoreHistogram]) -> PooledIntervals:
    """Jackknife intervals of pooled average precision and of pooled maximum Dice.

    The histograms are pooled, and the threshold of the maximum Dice is searched, anew without
    each subject.

    Args:
        subjects: one histogram per subject, its sessions added.

    Returns:
        The intervals; ``None`` for fewer than four subjects with a lesion voxel, and where
        leaving one out never changes the number.
    """
    diseased = sum(one.lesion_voxels > 0 for one in subjects)
    if diseased < FEWEST:
        return PooledIntervals(None, None)
    places = np.arange(len(subjects), dtype=np.int64)
    kept = ((places != left_out).astype(np.int8) for left_out in (-1, *places))
    values, *without = pooled_statistics(subjects, kept)
    precision, dice = (
        _around(float(value), _jackknife_error(column), diseased, "share", _POOLED_LEVEL)
        for value, column in zip(values, np.transpose(without), strict=True)
    )
    return PooledIntervals(precision, dice)


def auroc_interval(auroc: float, patients: int, healthy: int) -> Interval | None:
    """The interval of an area under the ROC curve (Newcombe 2006, method 5).

    It holds every area from which ``auroc`` is at most 1.96 standard errors away, with the
    standard error that this area itself has by Hanley and McNeil (1982), at the mean of the two
    group sizes. Unlike DeLong's, it has a width where the groups do not overlap.

    Returns:
        The interval; ``None`` for fewer than four people in one of the groups.
    """
    if min(patients, healthy) < FEWEST:
        return None
    low = _least_area(auroc, patients, healthy)
    return Interval(low, 1.0 - _least_area(1.0 - auroc, patients, healthy))


def _least_area(auroc: float, patients: int, healthy: int) -> float:
    """The least area from which ``auroc`` is 1.96 standard errors away."""
    if auroc <= _TINY:
        return 0.0
    more, z = (patients + healthy) / 2 - 1, float(scipy.stats.norm.ppf(0.975))

    def beyond(area: float) -> float:
        pairs = 1 + more * ((1 - area) / (2 - area) + area / (1 + area))
        return auroc - area - z * sqrt(area * (1 - area) * pairs / (patients * healthy))

    # At an area of 1 the standard error is 0, so the search ends just below.
    return float(scipy.optimize.brentq(beyond, 0.0, auroc * (1 - _TINY)))


def _jackknife_error(without: NDArray[np.float64]) -> float:
    """The standard error of a statistic from its values without each subject."""
    count = len(without)
    return sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))


def reach_of_ends(
    value: float, interval: Interval, subjects: int, scale: Scale, by: float
) -> tuple[float, float]:
    """How far the ends of an interval move where the number of each subject moves a little.

    The mean then moves by ``by`` at most, and its standard error by ``by / sqrt(subjects - 1)``.
    What that does to the ends is taken to first order, on the scale that they were made on.

    Args:
        value: the mean; a pooled number counts as one.
        interval: its interval.
        subjects: how many there are.
        scale: where the number can be.
        by: how far each subject's number moves at most.

    Returns:
        For the lower end and the upper one.
    """
    subjects = max(subjects, FEWEST)
    error = _quantile(_LEVELS[scale], subjects) / sqrt(subjects - 1)
    most = 1.0 - _TINY if scale == "share" else inf
    centre, *ends = (min(max(one, _TINY), most) for one in (value, interval.low, interval.high))
    found = []
    for end in ends:
        if scale == "amount":
            slope, bend = end / centre, log(end / centre)
        else:
            slope = end * (1.0 - end) / (centre * (1.0 - centre))
            odds = log(end / (1.0 - end)) - log(centre / (1.0 - centre))
            bend = odds * (1.0 - 2.0 * centre)
        found.append(by * slope * (abs(1.0 - bend) + error))
    return found[0], found[1]


def _quantile(level: float, subjects: int) -> float:
    """Of Student's t, for a two-sided interval over subjects."""
    return float(scipy.stats.t.ppf((1.0 + level) / 2.0, subjects - 1))


def _around(
    value: float, error: float, subjects: int, scale: Scale, level: float
) -> Interval | None:
    """Student's t around ``value`` on the logit scale of a share, or the log scale of an amount.

    ``None`` where the subjects show no spread, or where an amount's error is larger than the
    amount, so that one subject decides it (the error of a mean cannot be).
    """
    if error <= _TINY * value or (scale == "amount" and error > (1 + _TINY) * value):
        return None
    reach = _quantile(level, subjects) * error / value
    if scale == "amount":
        return Interval(value * exp(-reach), value * exp(reach))
    odds, reach = log(value / (1.0 - value)), reach / (1.0 - value)
    return Interval(_expit(odds - reach), _expit(odds + reach))


def _expit(log_odds: float) -> float:
    """The share that has these log odds, exact near 0 and without overflow."""
    if log_odds < 0:
        return exp(log_odds) / (1.0 + exp(log_odds))
    return 1.0 / (1.0 + exp(-log_odds))
