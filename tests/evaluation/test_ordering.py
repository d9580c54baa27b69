"""A map whose scores no longer rank voxels is told; a ranking that 16 bits keep is not."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.evaluation.scores.ordering import Ordering, mean_ordering, ordering


def everywhere(values: np.ndarray) -> Ordering:
    return ordering(values, np.ones(values.shape, dtype=bool))


def residuals(seed: int, size: int = 20_000) -> np.ndarray:
    """What a reconstruction leaves: mostly small, up to 1."""
    return np.random.default_rng(seed).beta(1, 12, size).astype(np.float32)


@given(st.integers(0, 99), st.floats(0.02, 1.0))
def test_an_ordinary_map_keeps_its_order_at_any_sensible_scale(seed, scale):
    found = everywhere(residuals(seed) * np.float32(scale))
    assert found.faults == ()


@given(st.integers(0, 99), st.floats(1e-9, 1e-4))
def test_a_map_on_too_fine_a_scale_is_told(seed, scale):
    (fault,) = everywhere(residuals(seed) * np.float32(scale)).faults
    assert "lose their order" in fault


@given(st.integers(0, 99))
def test_a_map_that_crowds_just_below_1_is_told(seed):
    faults = everywhere(1 - (1 - residuals(seed)) * np.float32(1e-5)).faults
    assert any("lose their order" in fault for fault in faults)


@given(st.integers(0, 99), st.floats(0.011, 0.9))
def test_a_map_that_is_clipped_at_1_is_told(seed, share):
    values = residuals(seed)
    clipped = (values / np.quantile(values, 1 - share)).clip(0, 1)
    (fault,) = everywhere(clipped).faults
    assert "saturate" in fault
    assert everywhere(clipped).tied < 0.01, "what was equal before is no loss of 16 bits"


@given(st.floats(0.0, 0.009))
def test_findings_without_degrees_are_a_ranking_of_two(share):
    values = np.zeros(10_000, dtype=np.float32)
    values[: int(share * values.size)] = 1.0
    assert everywhere(values).faults == ()


def test_lesions_with_the_highest_score_are_no_saturation():
    values = residuals(0)
    lesion = np.arange(values.size) < values.size // 5
    values[lesion] = 1.0
    assert ordering(values, ~lesion).saturated == 0
    assert ordering(values, lesion).saturated == 1


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_map_and_an_empty_one_lose_nothing(value):
    for size in (0, 1, 5, 1000):
        found = everywhere(np.full(size, value, dtype=np.float32))
        assert found.faults == ()
    assert mean_ordering([]).faults == ()


@given(arrays(np.float64, st.integers(40, 120), elements=st.floats(0, 1e-3, allow_subnormal=False)))
def test_lost_pairs_are_those_of_a_count_by_hand(values):
    top = np.sort(values)[values.size - -(-values.size // 20) :]
    scores = quantise(top)
    pairs = list(combinations(range(top.size), 2))
    lost = sum(top[a] != top[b] and scores[a] == scores[b] for a, b in pairs)
    assert everywhere(values).tied == pytest.approx(lost / len(pairs), abs=1e-12)


def test_the_mean_is_over_scans():
    assert mean_ordering([Ordering(0.0, 0.5), Ordering(0.5, 0.0)]) == Ordering(0.25, 0.25)
