"""Protects: a difference of two methods is that of scipy and of brute force, whoever is first."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uad_bench.evaluation.scores.histograms import ScoreHistogram, average_precision, max_dice
from uad_bench.evaluation.scores.pooling import pseudo_values
from uad_bench.evaluation.statistics.comparison import Paired, paired_difference, signed_rank_test
from uad_bench.evaluation.statistics.people import (
    fewest_for,
    holm,
    paired_comparison,
    smallest_corrected,
)

RNG = np.random.default_rng(3)


def pair(differences) -> Paired:
    values = np.array(differences, dtype=float)[None]
    return Paired(values, np.zeros_like(values))


def tables(seeds: int, subjects: int) -> Paired:
    people = RNG.normal(0, 1, subjects)
    first, second = (people + RNG.normal(0, 0.5, (n, subjects)) for n in (seeds, seeds + 1))
    return Paired(first, second)


def swapped(one: Paired) -> Paired:
    return Paired(one.second, one.first)


small = st.lists(st.integers(-4, 4), min_size=1, max_size=5)


def test_one_training_on_one_dataset_is_the_paired_t_test():
    one = tables(1, 9)
    one = Paired(one.first, one.second[:1])
    found = paired_difference([one])
    expected = stats.ttest_rel(one.first[0], one.second[0])
    low, high = expected.confidence_interval()
    assert found is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(expected.pvalue)
    above = stats.ttest_rel(one.first[0], one.second[0], alternative="less").pvalue
    assert found.probability_above == pytest.approx(above)


def test_two_datasets_are_welchs_test_with_the_sign_of_one_turned():
    one, other = RNG.normal(0.5, 1, 6), RNG.normal(0.4, 3, 11)
    found = paired_difference([pair(one), pair(other)])
    assert found is not None
    assert found.value == pytest.approx((one.mean() + other.mean()) / 2)
    assert found.p == pytest.approx(stats.ttest_ind(one, -other, equal_var=False).pvalue)


def test_trainings_are_a_source_of_their_own():
    one = tables(3, 5)
    found = paired_difference([one])
    parts = [(np.var(one.differences, ddof=1) / 5, 4)]
    for table in (one.first, one.second):
        seeds, subjects = table.shape
        effect = [table[s].mean() - table.mean() for s in range(seeds)]
        between = sum(e**2 for e in effect) * subjects / (seeds - 1)
        left = sum(
            (table[s, i] - table[s].mean() - table[:, i].mean() + table.mean()) ** 2
            for s in range(seeds)
            for i in range(subjects)
        ) / ((seeds - 1) * (subjects - 1))
        parts.append((max(0.0, between - left) / (seeds * subjects), seeds - 1))
    assert found is not None
    total = sum(variance for variance, _ in parts)
    assert found.error == pytest.approx(np.sqrt(total))
    assert found.freedom == pytest.approx(total**2 / sum(v**2 / n for v, n in parts))


def test_the_trainings_of_a_method_are_the_same_on_every_dataset():
    shift = np.array([[-1.0], [0.0], [1.0]])
    one, other = (Paired(t.first[:, :] + shift, t.second) for t in (tables(3, 6), tables(3, 6)))
    against = Paired(other.first[::-1], other.second)
    together, apart = paired_difference([one, other]), paired_difference([one, against])
    assert together is not None
    assert apart is not None
    assert together.error > 2 * apart.error


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=7), min_size=1, max_size=3),
    st.floats(-1, 1),
)
def test_swapping_turns_every_sign_and_a_constant_moves_it(values, constant):
    datasets = [pair(some) for some in values]
    found, turned = paired_difference(datasets), paired_difference([swapped(o) for o in datasets])
    ranks, against = signed_rank_test(datasets), signed_rank_test([swapped(o) for o in datasets])
    assert ranks.p == pytest.approx(against.p)
    assert ranks.effect == pytest.approx(-against.effect)
    if found is None:
        assert turned is None
        return
    assert turned is not None
    assert found.value == pytest.approx(-turned.value)
    assert found.interval.low == pytest.approx(-turned.interval.high)
    assert found.probability_above == pytest.approx(1 - turned.probability_above)
    moved = paired_difference([Paired(o.first + constant, o.second) for o in datasets])
    assert moved is not None
    assert moved.value == pytest.approx(found.value + constant, abs=1e-9)
    assert moved.error == pytest.approx(found.error, abs=1e-9)


@pytest.mark.parametrize(
    "values", [[[0.1]], [[0.1, 0.3]], [[0.2] * 6], [[0.1, 0.2, 0.4, 0.3], [1]]]
)
def test_too_few_or_no_spread_has_no_interval(values):
    assert paired_difference([pair(some) for some in values]) is None


def test_a_constant_difference_still_has_a_test():
    found = signed_rank_test([pair([0.2] * 6)])
    assert (found.effect, found.p, found.counted) == (1.0, 2.0**-5, 6)


@pytest.mark.parametrize(("values", "p"), [([0.3], 1.0), ([0.3, 0.1], 0.5), ([0.0, 0.0], 1.0)])
def test_one_two_or_equal_subjects_prove_nothing(values, p):
    assert signed_rank_test([pair(values)]).p == p


@settings(max_examples=30)
@given(small)
def test_of_one_dataset_it_is_the_test_of_the_table(differences):
    named = {str(at): float(value) for at, value in enumerate(differences)}
    expected = paired_comparison(named, dict.fromkeys(named, 0.0))
    assert signed_rank_test([pair(differences)]).p == pytest.approx(expected)


def effect(differences) -> float:
    kept = np.array([d for d in differences if d])
    if not len(kept):
        return 0.0
    ranks = stats.rankdata(np.abs(kept))
    return float((np.sign(kept) * ranks).sum() / ranks.sum())


@settings(max_examples=12, deadline=None)
@given(small, small)
def test_over_datasets_it_counts_every_pattern_of_signs(one, other):
    found = signed_rank_test([pair(one), pair(other)])
    observed = (effect(one) + effect(other)) / 2
    assert found.effect == pytest.approx(observed)
    sizes = [abs(d) for d in (*one, *other)]
    sums = [
        effect([s * d for s, d in zip(signs[: len(one)], sizes, strict=False)])
        + effect([s * d for s, d in zip(signs[len(one) :], sizes[len(one) :], strict=True)])
        for signs in product((-1, 1), repeat=len(sizes))
    ]
    beyond = np.mean([abs(total / 2) >= abs(observed) - 1e-9 for total in sums])
    assert found.p == pytest.approx(beyond)


def test_many_subjects_join_on_smoothly():
    some = [RNG.normal(0.15, 1, n) for n in (45, 48)]
    exact = signed_rank_test([pair(one) for one in some])
    more = signed_rank_test([pair(one) for one in (*some, RNG.normal(0, 1, 51))])
    deviation = np.sqrt(
        sum(np.square(np.arange(1, n + 1)).sum() / (n * (n + 1) / 2) ** 2 for n in (45, 48))
    )
    assert exact.p == pytest.approx(2 * stats.norm.sf(2 * abs(exact.effect) / deviation), abs=0.01)
    assert more.counted == 144
    assert 0 < more.p < 1


@pytest.mark.parametrize("counts", [[3], [2, 3], [4, 4], [1, 3, 2]])
def test_no_result_goes_below_the_smallest_corrected_p(counts):
    reached = [
        [
            paired_comparison(
                {str(k): float(s * (k + 1)) for k, s in enumerate(signs)},
                {str(k): 0.0 for k in range(n)},
            )
            for signs in product((-1, 1), repeat=n)
        ]
        for n in counts
    ]
    results = np.array([holm(some) for some in product(*map(set, reached))])
    assert smallest_corrected(counts) == pytest.approx(results.min(axis=0))


@pytest.mark.parametrize("counts", [[6], [6, 6], [4, 6, 30], [0, 0, 0, 0]])
def test_the_fewest_subjects_reach_the_level_and_one_less_does_not(counts):
    needed = fewest_for(0.05, counts, 0)
    assert smallest_corrected([needed, *counts[1:]])[0] <= 0.05
    assert smallest_corrected([needed - 1, *counts[1:]])[0] > 0.05


def test_pseudo_values_are_the_jackknifes_around_the_statistic():
    scores = RNG.integers(0, 40, (5, 60)).astype(np.uint16)
    lesion = (RNG.random((5, 60)) < 0.3).astype(np.uint8)
    people = [ScoreHistogram.of(*one) for one in zip(scores, lesion, strict=True)]
    found = pseudo_values(people)

    def both(some):
        whole = ScoreHistogram.pooled(some)
        return np.array([average_precision(whole), max_dice(whole)[0]])

    without = np.array([both(people[:at] + people[at + 1 :]) for at in range(5)])
    assert found.mean(axis=1) == pytest.approx(both(people))
    assert found.std(axis=1) == pytest.approx(4 * without.std(axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3])
def test_nine_in_ten_intervals_hold_the_truth_where_trainings_differ(seeds):
    from studies.comparisons import WORLDS, components

    world, rng = WORLDS["trainings differ as patients do"], np.random.default_rng(0)
    true = world.truth()
    found = [components(world.draw(rng, [8], seeds)) for _ in range(600)]
    covered = np.mean([one is not None and one.low <= true <= one.high for one in found])
    assert 0.91 < covered < 0.99
