"""Protects: a subject is the unit, tests are those of the textbook and of scipy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.statistics.people import (
    differing,
    holm,
    paired_comparison,
    smallest_p,
    subject_means,
)
from uad_bench.evaluation.values import ScanScores


@pytest.fixture(scope="module")
def multitest():
    """Without what it does in every call: to collect all garbage of the process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc.collect", lambda: 0)
        yield pytest.importorskip("statsmodels.stats.multitest")


def named(values):
    return {f"s{index}": float(value) for index, value in enumerate(values)}


def scan(subject, session, **metrics):
    return ScanScores(subject=subject, session=session, metrics=metrics)


def test_sessions_of_a_subject_count_once():
    scans = [
        scan("b", "1", dice=0.2),
        scan("a", None, dice=0.6),
        scan("b", "2", dice=0.4),
        scan("b", "3", dice=None),
        scan("c", None, dice=None),
        scan("d", None),
    ]
    means = subject_means(scans, "dice")
    assert list(means) == ["b", "a"]
    assert means == pytest.approx({"b": 0.3, "a": 0.6})


@settings(max_examples=30)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_the_signed_rank_test_is_exact_with_ties_and_zeros(differences):
    found = paired_comparison(named(differences), named([0] * len(differences)))
    kept = np.array([d for d in differences if d])
    if not len(kept):
        assert found == 1.0
        return
    ranks = stats.rankdata(np.abs(kept))
    middle = ranks.sum() / 2
    observed = abs(ranks[kept > 0].sum() - middle)
    patterns = product((0, 1), repeat=len(kept))
    beyond = [abs(np.dot(signs, ranks) - middle) >= observed - 1e-9 for signs in patterns]
    assert found == pytest.approx(np.mean(beyond), abs=1e-12)


@pytest.mark.parametrize("subjects", [2, 5, 12, 30, 50])
def test_the_signed_rank_test_without_ties_is_scipys_exact_one(subjects):
    differences = np.random.default_rng(subjects).normal(0.3, 1.0, subjects)
    found = paired_comparison(named(differences), named(np.zeros(subjects)))
    assert found == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, abs=1e-12)


def test_beyond_fifty_subjects_the_test_joins_on_smoothly():
    differences = np.random.default_rng(0).normal(0.3, 1.0, 51)
    found = paired_comparison(named(differences), named(np.zeros(51)))
    assert found == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, abs=2e-3)


def test_only_shared_subjects_are_compared():
    a = {"x": 1.0, "y": 2.0, "only_a": 50.0}
    b = {"y": 1.0, "x": 0.5, "only_b": -50.0}
    assert paired_comparison(a, b) == paired_comparison(b, a) == 0.5
    with pytest.raises(UadBenchError, match="no subject in common"):
        paired_comparison({"x": 1.0}, {"y": 1.0})


@pytest.mark.parametrize("counts", [[1], [3], [6], [6] * 5, [2, 5, 4], [0], [0, 3]])
def test_the_smallest_possible_p_is_that_of_every_sign_pattern(counts):
    least = [
        min(
            paired_comparison(named(np.array(signs) * np.arange(1, n + 1)), named([0] * n))
            for signs in product((-1, 1), repeat=n)
        )
        if n
        else 1.0
        for n in counts
    ]
    raw, corrected = smallest_p(counts)
    assert raw == pytest.approx(min(least))
    assert corrected == pytest.approx(min(holm(least)))


def test_ties_allow_no_smaller_p_either():
    assert paired_comparison(named([1] * 6), named([0] * 6)) == smallest_p([6])[0]


def test_differences_that_are_equal_on_paper_are_ties():
    a, b = named([0.1, 0.9, 0.4, 0.8]), named([0.3, 0.7, 0.2, 0.6])
    assert paired_comparison(a, b) == paired_comparison(named([-1, 1, 1, 1]), named([0] * 4))
    assert differing(named([0.1 + 0.2]), named([0.3])) == 0


def test_subjects_differ_where_both_have_a_value_and_not_the_same():
    assert differing({"a": 1.0, "b": 2.0, "c": 3.0}, {"b": 2.0, "c": 4.0, "d": 5.0}) == 1


def test_holms_correction_by_hand():
    assert holm([]) == ()
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.9]) == (1.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_correction_is_that_of_statsmodels(multitest, pvalues):
    assert holm(pvalues) == pytest.approx(multitest.multipletests(pvalues, method="holm")[1])
