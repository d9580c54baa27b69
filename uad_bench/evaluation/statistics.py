"""Statistics over people: bootstrap intervals, paired tests and Holm's correction.

A person is the unit: several sessions of one person are averaged before anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from uad_bench.cells import ScanScores
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.histograms import ScoreHistogram, at_or_above

DRAWS = 2000
"""Bootstrap draws of an interval for a mean over subjects."""

CURVE_DRAWS = 500
"""Bootstrap draws of an interval for a number that is searched or pooled anew in every draw."""

_CHUNK = 50
_EXACT_UP_TO = 50
_LEVEL = 95.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % percentile interval of the bootstrap."""

    low: float
    high: float


def subject_means(scans: Iterable[ScanScores], metric: str) -> dict[str, float]:
    """Mean of a metric per subject over the sessions for which it is defined.

    Subjects without any such session, and a metric that a scan does not have, are left out. The
    order is that of first appearance.
    """
    values: dict[str, list[float]] = {}
    for scan in scans:
        value = scan.metrics.get(metric)
        if value is not None:
            values.setdefault(scan.subject, []).append(value)
    return {subject: float(np.mean(found)) for subject, found in values.items()}


def resample(subjects: int, draws: int, seed: int) -> NDArray[np.int64]:
    """How often each subject is drawn, ``[draws, subjects]``; every row sums to ``subjects``.

    The same arguments give the same draws, so that metrics of one cell share theirs.
    """
    rng = np.random.default_rng(seed)
    chance = np.full(subjects, 1.0 / subjects)
    return rng.multinomial(subjects, chance, size=draws).astype(np.int64, copy=False)


def percentile_interval(statistics: NDArray[np.float64]) -> Interval | None:
    """The central 95 % of bootstrap statistics, undefined (NaN) draws left out."""
    defined = statistics[~np.isnan(statistics)]
    if not len(defined):
        return None
    tail = (100.0 - _LEVEL) / 2.0
    low, high = np.percentile(defined, (tail, 100.0 - tail))
    return Interval(float(low), float(high))


def bootstrap_mean(values: Sequence[float], seed: int, draws: int = DRAWS) -> Interval | None:
    """Percentile interval of the mean over subjects (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: one number per subject.
        seed: every draw follows from it.
        draws: bootstrap samples.

    Returns:
        The interval, or ``None`` for fewer than two subjects, which show no spread.
    """
    if len(values) < 2:
        return None
    counts = resample(len(values), draws, seed)
    return percentile_interval((counts * np.asarray(values, dtype=np.float64)).mean(axis=1))


def bootstrap_ratio(
    numerators: Sequence[float], denominators: Sequence[float], seed: int
) -> Interval | None:
    """Percentile interval of ``sum numerators / sum denominators``, one pair per subject.

    ``None`` for fewer than two subjects.
    """
    if len(numerators) < 2:
        return None
    counts = resample(len(numerators), DRAWS, seed)
    above = (counts * np.asarray(numerators, dtype=np.float64)).sum(axis=1)
    below = (counts * np.asarray(denominators, dtype=np.float64)).sum(axis=1)
    ratio = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return percentile_interval(ratio)


def bootstrap_best_mean(
    curves: NDArray[np.float64], seed: int, draws: int = CURVE_DRAWS
) -> Interval | None:
    """Percentile interval of the best mean over one common threshold, searched in every draw.

    Args:
        curves: ``[S, T]``, one curve over the thresholds per subject.
        seed: every draw follows from it.
        draws: bootstrap samples.

    Returns:
        The interval, or ``None`` for fewer than two subjects.
    """
    subjects = len(curves)
    if subjects < 2:
        return None
    counts = resample(subjects, draws, seed).astype(np.float64)
    best = [
        (counts[start : start + _CHUNK] @ curves).max(axis=1, initial=0.0) / subjects
        for start in range(0, draws, _CHUNK)
    ]
    return percentile_interval(np.concatenate(best))


@dataclass(frozen=True, slots=True)
class PooledIntervals:
    """Intervals of the two pooled statistics of a set of score histograms."""

    average_precision: Interval | None
    max_dice: Interval | None


def bootstrap_pooled(
    subjects: Sequence[ScoreHistogram], seed: int, draws: int = CURVE_DRAWS
) -> PooledIntervals:
    """Percentile intervals of pooled average precision and maximum Dice, by drawing subjects.

    A draw pools the histograms of the drawn subjects, each as often as it was drawn, and searches
    the best threshold anew. Only levels that a lesion voxel has can change average precision or
    be the best threshold, so only those are kept; all sums are of integers below 2^53 and
    therefore exact.

    Args:
        subjects: one histogram per subject, its sessions added.
        seed: every draw follows from it.
        draws: bootstrap samples.

    Returns:
        The intervals, ``None`` for fewer than two subjects or no lesion voxel.
    """
    if len(subjects) < 2:
        return PooledIntervals(None, None)
    levels = np.flatnonzero(np.sum([one.lesion for one in subjects], axis=0))
    if not len(levels):
        return PooledIntervals(None, None)
    lesion = np.array([one.lesion[levels] for one in subjects], dtype=np.float64)
    true = np.array([at_or_above(one.lesion)[levels] for one in subjects], dtype=np.float64)
    chosen = true + np.array([at_or_above(one.healthy)[levels] for one in subjects])
    counts = resample(len(subjects), draws, seed).astype(np.float64)
    precisions, dices = np.full(draws, np.nan), np.full(draws, np.nan)
    searched = slice(1 if levels[0] == 0 else 0, None)
    for start in range(0, draws, _CHUNK):
        rows = slice(start, start + _CHUNK)
        hits, found = counts[rows] @ true, counts[rows] @ chosen
        positives = hits[:, :1]
        drawn = positives[:, 0] > 0
        share = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
        gained = ((counts[rows] @ lesion) * share).sum(axis=1)
        dice = 2.0 * hits[:, searched] / (found[:, searched] + np.maximum(positives, 1.0))
        precisions[rows][drawn] = gained[drawn] / positives[drawn, 0]
        dices[rows][drawn] = dice.max(axis=1, initial=0.0)[drawn]
    return PooledIntervals(percentile_interval(precisions), percentile_interval(dices))


def paired_comparison(values_a: Mapping[str, float], values_b: Mapping[str, float]) -> float:
    """Two-sided p-value of the Wilcoxon signed-rank test over the subjects that both have.

    Subjects without a difference are left out (Wilcoxon's rule); ties get mid-ranks. Up to 50
    differences the null distribution is exact, ties included; beyond, scipy's normal
    approximation is used. Methods that differ for no subject give 1.

    Raises:
        UadBenchError: if no subject has both values.
    """
    shared = [subject for subject in values_a if subject in values_b]
    if not shared:
        raise UadBenchError(
            "two methods have no subject in common, so they cannot be compared: evaluate both on "
            "the same cohort"
        )
    differences = np.array([values_a[subject] - values_b[subject] for subject in shared])
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    if len(differences) > _EXACT_UP_TO:
        return float(stats.wilcoxon(differences).pvalue)
    return _exact_signed_rank(differences)


def _exact_signed_rank(differences: NDArray[np.float64]) -> float:
    """Exact two-sided p-value over all sign patterns of the ranked absolute differences.

    Twice the mid-ranks are integers, so the number of sign patterns for each rank sum follows by
    adding one rank after the other, as in the count of subset sums.
    """
    ranks = np.rint(2 * stats.rankdata(np.abs(differences))).astype(np.int64)
    patterns = np.zeros(int(ranks.sum()) + 1)
    patterns[0] = 1.0
    for rank in ranks:
        patterns[rank:] += patterns[:-rank]
    positive = int(ranks[differences > 0].sum())
    smaller = min(positive, int(ranks.sum()) - positive)
    return min(1.0, 2.0 * float(patterns[: smaller + 1].sum()) / 2.0 ** len(ranks))


def holm(pvalues: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down correction (Holm 1979), in the order given.

    The k-th smallest of m p-values is multiplied by ``m - k + 1``; a corrected value is never
    below the one before it, nor above 1.
    """
    values = np.asarray(pvalues, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return tuple(float(value) for value in corrected)
