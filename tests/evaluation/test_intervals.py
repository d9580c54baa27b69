"""Protects: intervals hold their estimate, cover what they claim, and are absent where none is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from uad_bench.evaluation.scores.histograms import ScoreHistogram, average_precision, max_dice
from uad_bench.evaluation.statistics.intervals import (
    best_mean_interval,
    mean_interval,
    pooled_intervals,
    ratio_interval,
    reach_of_ends,
)

SHARES = st.lists(st.floats(0, 1), min_size=4, max_size=12)


def random_histogram(seed, lesions=True):
    rng = np.random.default_rng(seed)
    lesion = (rng.random(400) < 0.1 * lesions).astype(np.uint8)
    scores = np.clip(rng.normal(20, 12, 400) + 15 * lesion, 0, 90).astype(np.uint16)
    return ScoreHistogram.of(scores, lesion)


def pool(people):
    return ScoreHistogram.pooled(people)


def logit_jackknife(statistic, units, level, subjects=None):
    """Student's t on the logit scale, each unit left out by hand."""
    value = statistic(units)
    without = [statistic([*units[:i], *units[i + 1 :]]) for i in range(len(units))]
    error = np.sqrt((len(units) - 1) * np.var(without))
    df = (subjects or len(units)) - 1
    ends = stats.t.interval(level, df, special.logit(value), error / (value * (1 - value)))
    return tuple(special.expit(ends))


def ends(interval):
    return (interval.low, interval.high)


@pytest.mark.parametrize("count", [4, 7, 30])
def test_the_interval_of_a_mean_is_students_t_on_its_own_scale(count):
    values = np.random.default_rng(count).beta(2, 3, count)
    mean, error = values.mean(), stats.sem(values)
    share = stats.t.interval(0.95, count - 1, special.logit(mean), error / (mean * (1 - mean)))
    amount = stats.t.interval(0.965, count - 1, np.log(mean), error / mean)
    assert ends(mean_interval(values, "share")) == pytest.approx(special.expit(share))
    assert ends(mean_interval(values, "amount")) == pytest.approx(np.exp(amount))
    by_hand = logit_jackknife(np.mean, list(values), 0.95)
    assert ends(mean_interval(values, "share")) == pytest.approx(by_hand)


@given(SHARES)
def test_a_share_is_strictly_inside_its_interval_which_is_inside_0_and_1(values):
    interval = mean_interval(values, "share")
    if interval is None:
        assert np.ptp(values) < 1e-7
    else:
        assert 0 <= interval.low < np.mean(values) < interval.high <= 1


@given(st.lists(st.just(0.0) | st.floats(1e-100, 1e4), min_size=4, max_size=12))
def test_an_amount_is_strictly_inside_its_interval_and_is_never_negative(values):
    interval = mean_interval(values, "amount")
    if interval is None:
        assert np.ptp(values) <= 1e-7 * max(values)
    else:
        assert 0 <= interval.low < np.mean(values) < interval.high < np.inf


@settings(deadline=None)
@given(st.integers(4, 9), st.integers(1, 6), st.randoms(use_true_random=False))
def test_an_upper_bound_is_strictly_inside_its_interval(subjects, thresholds, random):
    curves = np.array([[random.random() ** 3 for _ in range(thresholds)] for _ in range(subjects)])
    interval = best_mean_interval(lambda: curves)
    if interval is None:
        assert len(np.unique(curves.max(axis=1))) == 1 or len(np.unique(curves, axis=0)) == 1
        return
    assert 0 <= interval.low < curves.mean(axis=0).max() < interval.high <= 1


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 500), min_size=4, max_size=8))
def test_pooled_numbers_are_inside_their_intervals(seeds):
    people = [random_histogram(seed) for seed in seeds]
    found = pooled_intervals(people)
    values = (average_precision(pool(people)), max_dice(pool(people))[0])
    for interval, value in zip((found.average_precision, found.max_dice), values, strict=True):
        if len(set(seeds)) > 1:
            assert interval.low < value < interval.high


def test_the_pooled_interval_is_that_of_pooling_without_each_subject_by_hand():
    people = [*(random_histogram(seed) for seed in range(5)), random_histogram(9, lesions=False)]
    found = pooled_intervals(people)
    precision = logit_jackknife(lambda some: average_precision(pool(some)), people, 0.965, 5)
    dice = logit_jackknife(lambda some: max_dice(pool(some))[0], people, 0.965, 5)
    assert ends(found.average_precision) == pytest.approx(precision, abs=1e-12)
    assert ends(found.max_dice) == pytest.approx(dice, abs=1e-12)


def test_the_best_common_threshold_is_searched_without_each_subject():
    curves = np.random.default_rng(0).random((5, 30))
    by_hand = logit_jackknife(lambda some: np.mean(some, axis=0).max(), list(curves), 0.95)
    assert ends(best_mean_interval(lambda: curves)) == pytest.approx(by_hand)


def test_a_ratio_leaves_out_subjects_together_with_both_their_sums():
    above, below = [4.0, 9.0, 2.0, 0.0, 1.0, 5.0], [5.0, 20.0, 4.0, 0.0, 1.0, 30.0]
    pairs = [pair for pair in zip(above, below, strict=True) if pair[1]]
    by_hand = logit_jackknife(
        lambda some: sum(a for a, _ in some) / sum(b for _, b in some), pairs, 0.965
    )
    assert ends(ratio_interval(above, below, "share")) == pytest.approx(by_hand)
    assert ratio_interval(above[:4], below[:4], "share") is None


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 1000)), min_size=4, max_size=9))
def test_a_ratio_of_amounts_is_inside_its_interval_or_has_none(pairs):
    above = [distance * bool(slices) for distance, slices in pairs]
    below = [float(slices) for _, slices in pairs]
    interval = ratio_interval(above, below, "amount")
    if interval is not None:
        assert 0 <= interval.low < sum(above) / sum(below) < interval.high < np.inf


@pytest.mark.parametrize("scale", ["share", "amount"])
@pytest.mark.parametrize("count", [4, 10, 30])
def test_ends_move_as_far_as_is_said_where_each_subject_moves_a_little(scale, count):
    random, by, shares = np.random.default_rng(0), {"share": 1e-4, "amount": 0.05}[scale], []
    for draw in range(200):
        share = scale == "share"
        values = random.beta(1, 8, count) if share else random.lognormal(3, 0.8, count)
        moves = random.uniform(-by, by, count) if draw % 2 else random.choice([-by, by])
        moved = np.clip(values + moves, 0, 1 if share else None)
        then, now = mean_interval(values, scale), mean_interval(moved, scale)
        low, high = reach_of_ends(float(values.mean()), then, count, scale, by)
        shares.append(max(abs(now.low - then.low) / low, abs(now.high - then.high) / high))
    assert 0.3 < max(shares) <= 1


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_fewer_than_four_subjects_have_no_interval(count):
    values = [0.2, 0.5, 0.7][:count]
    assert mean_interval(values, "share") is None
    assert ratio_interval(values, [1.0] * count, "amount") is None
    assert best_mean_interval(lambda: np.array(values).reshape(-1, 1)) is None
    healthy = [random_histogram(seed, lesions=False) for seed in range(9)]
    found = pooled_intervals([*(random_histogram(i) for i in range(count)), *healthy])
    assert found.average_precision is found.max_dice is None


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1.0])
def test_subjects_without_any_spread_have_no_interval_of_no_width(value):
    values = [value] * 6
    assert mean_interval(values, "share") is mean_interval(values, "amount") is None
    assert best_mean_interval(lambda: np.full((6, 3), value)) is None
    assert ratio_interval(values, [1.0] * 6, "share") is None
    same = pooled_intervals([random_histogram(1)] * 6)
    assert same.average_precision is same.max_dice is None


@pytest.mark.parametrize(
    ("scale", "draw", "true"),
    [
        ("share", lambda rng, shape: rng.beta(5, 2, shape), 5 / 7),
        ("share", lambda rng, shape: rng.beta(2, 2, shape) * (rng.random(shape) > 0.2), 0.4),
        ("amount", lambda rng, shape: rng.lognormal(0, 0.5, shape), np.exp(1 / 8)),
        ("amount", lambda rng, shape: rng.exponential(1, shape), 1.0),
    ],
)
@pytest.mark.parametrize("count", [4, 10])
def test_between_90_and_97_percent_of_intervals_hold_the_truth(scale, draw, true, count):
    values = draw(np.random.default_rng(count), (2000, count))
    found = [mean_interval(row, scale) for row in values]
    covered = np.mean([one.low <= true <= one.high for one in found if one is not None])
    assert 0.90 <= covered <= 0.97
