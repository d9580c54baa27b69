"""Two methods on the same subjects: how far apart they are, and how sure that is.

Two things make a difference uncertain: other patients, and another training of either method. They
are separate sources of spread. Patients belong to their dataset. The seeds of a method are the same
trainings in all datasets, as the readers of a study are the same for all of its cases.
``studies/comparisons.py`` measures how often the intervals hold the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import sqrt

import numpy as np
import scipy
from numpy.typing import NDArray

from uad_bench.evaluation.statistics.intervals import FEWEST, Interval
from uad_bench.evaluation.statistics.people import DECIMALS, EXACT_UP_TO, signed_ranks

Table = NDArray[np.float64]

_LEVEL = 0.95
_TINY = 1e-9
_MOST_SUMS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """What two methods reached on the same subjects of one dataset.

    Attributes:
        first: float64 ``[seeds, subjects]`` without NaN.
        second: the same subjects in the same order; it may have other seeds.
    """

    first: Table
    second: Table

    @property
    def differences(self) -> Table:
        """First minus second of each subject, averaged over seeds: float64 ``[subjects]``.

        They are rounded to 12 decimals, so that 0.3 - 0.1 and 0.9 - 0.7 are a tie.
        """
        found: Table = np.round(self.first.mean(axis=0) - self.second.mean(axis=0), DECIMALS)
        return found


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two methods are apart: first minus second.

    Attributes:
        value: the mean over subjects; over several datasets, the unweighted mean of theirs.
        error: its standard error.
        freedom: degrees of freedom of this error; infinite where there is no error.
    """

    value: float
    error: float
    freedom: float

    @property
    def interval(self) -> Interval:
        """The 95 % interval: Student's t."""
        reach = float(scipy.stats.t.ppf((1 + _LEVEL) / 2, self.freedom)) * self.error
        return Interval(self.value - reach, self.value + reach)

    @property
    def p(self) -> float:
        """The two-sided p-value of Student's t test that there is no difference."""
        return float(2 * scipy.stats.t.sf(abs(self.value) / self.error, self.freedom))

    @property
    def probability_above(self) -> float:
        """How probable it is that the true difference is above 0, given no other knowledge.

        It is the share of Student's t distribution around the estimate that is above 0, the
        posterior under a flat prior (Gelman et al. 2013, section 3.2).
        """
        return float(scipy.stats.t.cdf(self.value / self.error, self.freedom))


def paired_difference(datasets: Sequence[Paired]) -> Difference | None:
    """The mean difference of two methods, patients and trainings as separate sources of spread.

    The variance is the sum of three parts: of patients within their datasets, and of each method's
    trainings. The part of a training is what its means over subjects vary by, minus what they would
    vary by if only single subjects came out otherwise (the interaction of a two-way layout).
    Degrees of freedom are Satterthwaite's (1946). Studies of several readers and cases are
    analysed in this way (Obuchowski and Rockette 1995).

    A method with one seed has no part: how another training would come out is not in the interval
    then.

    Args:
        datasets: one or more. The seeds of a method, in rows, are the same in all of them.

    Returns:
        The difference; ``None`` for fewer than four subjects, for a dataset with one subject, and
        where the subjects show no spread at all.

    Examples:
        >>> first = np.array([[0.5, 0.7, 0.4, 0.9], [0.6, 0.7, 0.5, 0.9]])
        >>> found = paired_difference([Paired(first, np.array([[0.4, 0.5, 0.4, 0.8]]))])
        >>> round(found.value, 3), round(found.interval.low, 3), round(found.interval.high, 3)
        (0.125, 0.019, 0.231)
    """
    counts = [len(one.differences) for one in datasets]
    if min(counts) < 2 or sum(counts) < FEWEST:
        return None
    share = 1 / len(datasets)
    parts = [
        (share**2 * float(one.differences.var(ddof=1)) / count, count - 1)
        for one, count in zip(datasets, counts, strict=True)
    ]
    value = share * sum(float(one.differences.mean()) for one in datasets)
    if sqrt(sum(variance for variance, _ in parts)) <= _TINY:
        return None
    for tables in ([one.first for one in datasets], [one.second for one in datasets]):
        if len(tables[0]) > 1:
            parts.append((_variance_of_trainings(tables), len(tables[0]) - 1))
    total = sum(variance for variance, _ in parts)
    freedom = total**2 / sum(variance**2 / own for variance, own in parts)
    return Difference(value, sqrt(total), freedom)


def _variance_of_trainings(tables: Sequence[Table]) -> float:
    """The part of a mean's variance that another choice of seeds would make; at least 0."""
    seeds, share = len(tables[0]), 1 / len(tables)
    between = float(sum(share * one.mean(axis=1) for one in tables).var(ddof=1))
    within = 0.0
    for one in tables:
        left = one - one.mean(axis=0) - one.mean(axis=1, keepdims=True) + one.mean()
        freedom = (one.shape[0] - 1) * (one.shape[1] - 1)
        within += share**2 * float(np.square(left).sum()) / freedom / one.shape[1]
    return max(0.0, between - within) / seeds


@dataclass(frozen=True, slots=True)
class SignedRanks:
    """The signed-rank test of two methods.

    Attributes:
        effect: the matched-pairs rank-biserial correlation (Kerby 2014), from -1 to 1: the share of
            the ranks that speak for the first method minus the share that speaks for the second.
            Over several datasets it is the unweighted mean of theirs.
        p: the two-sided p-value.
        counted: subjects with a difference, which are those that the test counts.
    """

    effect: float
    p: float
    counted: int


def signed_rank_test(datasets: Iterable[Paired]) -> SignedRanks:
    """Wilcoxon's signed-rank test, stratified by dataset: subjects are ranked within theirs.

    The statistic over several datasets is the mean of their rank-biserial correlations. Up to 50
    differences per dataset its null distribution is exact, ties included, as long as it has no more
    than a million values; beyond, it is taken as normal. Of one dataset the p-value is that of
    :func:`~uad_bench.evaluation.statistics.people.paired_comparison`.

    Args:
        datasets: one or more, in which the two methods have subjects in common.

    Examples:
        >>> signed_rank_test([Paired(np.array([[0.5, 0.7, 0.4]]), np.array([[0.4, 0.5, 0.1]]))])
        SignedRanks(effect=1.0, p=0.25, counted=3)
    """
    every = [one.differences for one in datasets]
    kept = [some[some != 0] for some in every]
    found = [_Ranked.of(some) for some in kept if len(some)]
    if not found:
        return SignedRanks(0.0, 1.0, 0)
    effect = sum(one.effect for one in found) / len(every)
    counted = sum(one.count for one in found)
    if len(found) == 1 and found[0].count > EXACT_UP_TO:
        (differences,) = (some for some in kept if len(some))
        return SignedRanks(effect, float(scipy.stats.wilcoxon(differences).pvalue), counted)
    return SignedRanks(effect, _stratified_p(found), counted)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """The signed ranks of one dataset: its effect, and every effect that signs could give it."""

    count: int
    effect: float
    effects: Table
    shares: Table
    variance: float

    @classmethod
    def of(cls, differences: Table) -> _Ranked:
        ranks = scipy.stats.rankdata(np.abs(differences))
        variance = float(np.square(ranks).sum() / ranks.sum() ** 2)
        if len(differences) > EXACT_UP_TO:
            effect = float((np.sign(differences) * ranks).sum() / ranks.sum())
            return cls(len(differences), effect, np.zeros(0), np.zeros(0), variance)
        positive, patterns = signed_ranks(differences)
        reached = np.flatnonzero(patterns)
        most = len(patterns) - 1
        shares = patterns[reached] / 2.0 ** len(differences)
        return cls(
            len(differences), 2 * positive / most - 1, 2 * reached / most - 1, shares, variance
        )


def _stratified_p(found: Sequence[_Ranked]) -> float:
    """The two-sided p-value of the sum of effects."""
    observed = abs(sum(one.effect for one in found))
    sums = 1
    for one in found:
        sums *= len(one.effects)
    if not 0 < sums <= _MOST_SUMS:
        deviation = sqrt(sum(one.variance for one in found))
        return float(2 * scipy.stats.norm.sf(observed / deviation))
    values = reduce(np.add.outer, (one.effects for one in found))
    shares = reduce(np.multiply.outer, (one.shares for one in found))
    return min(1.0, float(shares[np.abs(values) >= observed - _TINY].sum()))
