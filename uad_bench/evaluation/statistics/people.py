"""Statistics over people: subject means, paired tests and Holm's correction.

A person is the unit: several sessions of one person are averaged before anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.values import ScanScores

EXACT_UP_TO = 50
"""Differences up to which the signed-rank test counts every sign pattern."""

DECIMALS = 12
"""Differences of floats that are equal on paper are equal to this many decimals."""


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
            "the same dataset"
        )
    differences = np.array([_difference(values_a[name], values_b[name]) for name in shared])
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    if len(differences) > EXACT_UP_TO:
        return float(scipy.stats.wilcoxon(differences).pvalue)
    return _exact_signed_rank(differences)


def differing(values_a: Mapping[str, float], values_b: Mapping[str, float]) -> int:
    """How many subjects have both values, and different ones: those that the test counts."""
    shared = values_a.keys() & values_b.keys()
    return sum(_difference(values_a[name], values_b[name]) != 0 for name in shared)


def _difference(one: float, other: float) -> float:
    """The difference of two values, so that 0.3 - 0.1 and 0.9 - 0.7 are a tie."""
    return round(one - other, DECIMALS)


def smallest_p(subjects: Sequence[int]) -> tuple[float, float]:
    """The smallest p-values that some signed-rank tests can reach, whatever the methods do.

    All differences of ``n`` subjects have one sign in two of the ``2^n`` sign patterns, ties or
    not, so no test goes below ``2^(1 - n)``. Holm's correction multiplies the smallest p-value by
    the number of tests.

    Args:
        subjects: per test, the number of subjects with a difference; not empty.

    Returns:
        The smallest possible p-value of any of them before and after Holm's correction.
    """
    raw = min(1.0, 2.0 ** (1 - max(subjects)))
    return raw, min(1.0, len(subjects) * raw)


def smallest_corrected(subjects: Sequence[int]) -> tuple[float, ...]:
    """The smallest p-value that each of some signed-rank tests can reach after Holm's correction.

    A corrected p-value never rises where another p-value falls. So none is below what it is where
    every test has the smallest p-value that its subjects allow.

    Args:
        subjects: per test, the number of subjects with a difference.

    Examples:
        >>> smallest_corrected([6, 6, 12])
        (0.0625, 0.0625, 0.00146484375)
    """
    return holm([min(1.0, 2.0 ** (1 - count)) for count in subjects])


def fewest_for(level: float, subjects: Sequence[int], test: int) -> int:
    """How many subjects with a difference one of some tests needs for a corrected p of ``level``.

    Args:
        level: such as 0.05.
        subjects: per test, the number of subjects with a difference.
        test: position of the one.

    Examples:
        >>> fewest_for(0.05, [6], 0), fewest_for(0.05, [6, 6, 12], 1)
        (6, 7)
    """
    count, found = 0, 1.0
    while found > level:
        count += 1
        found = smallest_corrected([*subjects[:test], count, *subjects[test + 1 :]])[test]
    return count


def _exact_signed_rank(differences: NDArray[np.float64]) -> float:
    """Exact two-sided p-value over all sign patterns of the ranked absolute differences."""
    positive, patterns = signed_ranks(differences)
    smaller = min(positive, len(patterns) - 1 - positive)
    return min(1.0, 2.0 * float(patterns[: smaller + 1].sum()) / 2.0 ** len(differences))


def signed_ranks(differences: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """Twice the rank sum of the positive differences, and how many sign patterns give each sum.

    Twice the mid-ranks are integers, so the number of sign patterns for each rank sum follows by
    adding one rank after the other, as in the count of subset sums.

    Args:
        differences: float64 ``[n]``, none of them 0.

    Returns:
        The sum that was found, and float64 ``[largest sum + 1]``, whose total is ``2^n``.
    """
    ranks = np.rint(2 * scipy.stats.rankdata(np.abs(differences))).astype(np.int64)
    patterns = np.zeros(int(ranks.sum()) + 1)
    patterns[0] = 1.0
    for rank in ranks:
        patterns[rank:] += patterns[:-rank]
    return int(ranks[differences > 0].sum()), patterns


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
