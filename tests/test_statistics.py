"""Protects: a subject is the unit, intervals and tests are those of the textbook and of scipy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uad_bench.cells import ScanScores
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.histograms import ScoreHistogram, average_precision, max_dice
from uad_bench.evaluation.statistics import (
    bootstrap_best_mean,
    bootstrap_mean,
    bootstrap_pooled,
    bootstrap_ratio,
    holm,
    paired_comparison,
    resample,
    subject_means,
)


@pytest.fixture(scope="module")
def multitest():
    return pytest.importorskip("statsmodels.stats.multitest")


def named(values):
    return {f"s{index}": float(value) for index, value in enumerate(values)}


def scan(subject, session, **metrics):
    return ScanScores(subject=subject, session=session, metrics=metrics)


def random_histogram(seed):
    rng = np.random.default_rng(seed)
    lesion = (rng.random(400) < 0.1).astype(np.uint8)
    scores = np.clip(rng.normal(20, 12, 400) + 15 * lesion, 0, 90).astype(np.uint16)
    return ScoreHistogram.of(scores, lesion)


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


def test_resampling_draws_as_many_subjects_and_the_same_ones_for_one_seed():
    counts = resample(7, 100, seed=3)
    assert counts.shape == (100, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert np.array_equal(counts, resample(7, 100, seed=3))
    assert not np.array_equal(counts, resample(7, 100, seed=4))


def test_the_interval_of_a_mean_is_scipys():
    values = np.random.default_rng(0).gamma(2.0, size=25)
    ours = bootstrap_mean(list(values), seed=0, draws=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=1
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.02)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_fewer_than_two_subjects_have_no_interval(values):
    assert bootstrap_mean(values, seed=0) is None
    assert bootstrap_ratio(values, values, seed=0) is None
    assert bootstrap_best_mean(np.array(values).reshape(-1, 1), seed=0) is None
    assert bootstrap_pooled([random_histogram(i) for i in range(len(values))], 0).max_dice is None


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_an_interval_lies_within_the_values(values):
    interval = bootstrap_mean(values, seed=1)
    assert min(values) - 1e-12 <= interval.low <= interval.high <= max(values) + 1e-12
    assert interval == bootstrap_mean(values, seed=1)


def test_the_interval_of_a_ratio_draws_both_sums_together():
    counts = resample(3, 2000, seed=5)
    above, below = np.array([4.0, 0.0, 9.0]), np.array([2.0, 0.0, 3.0])
    drawn = [(c @ above) / (c @ below) for c in counts if c @ below > 0]
    interval = bootstrap_ratio(above, below, seed=5)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(drawn, (2.5, 97.5))))


def test_the_pooled_interval_is_that_of_pooling_each_draw_by_hand():
    healthy_only = ScoreHistogram.of(np.arange(50, dtype=np.uint16), np.zeros(50, np.uint8))
    people = [*(random_histogram(seed) for seed in range(3)), healthy_only]
    precisions, dices = [], []
    for counts in resample(4, 60, seed=2):
        pool = ScoreHistogram.empty()
        for times, person in zip(counts, people, strict=True):
            for _ in range(times):
                pool = pool + person
        if pool.lesion_voxels:
            precisions.append(average_precision(pool))
            dices.append(max_dice(pool)[0])
    found = bootstrap_pooled(people, seed=2, draws=60)
    for interval, drawn in ((found.average_precision, precisions), (found.max_dice, dices)):
        low, high = np.percentile(drawn, (2.5, 97.5))
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


def test_the_best_common_threshold_is_searched_in_every_draw():
    curves = np.random.default_rng(0).random((4, 30))
    drawn = [(c @ curves).max() / 4 for c in resample(4, 500, seed=9)]
    interval = bootstrap_best_mean(curves, seed=9)
    low, high = np.percentile(drawn, (2.5, 97.5))
    assert (interval.low, interval.high) == pytest.approx((low, high))


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


def test_holms_correction_by_hand():
    assert holm([]) == ()
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.9]) == (1.0, 1.0)


# Few examples: statsmodels collects all garbage of the process in every call.
@settings(max_examples=10)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_correction_is_that_of_statsmodels(multitest, pvalues):
    assert holm(pvalues) == pytest.approx(multitest.multipletests(pvalues, method="holm")[1])
