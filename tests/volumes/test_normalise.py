"""Normalisation: the formula of the recipe, inside the brain only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uad_bench.errors import ScanError
from uad_bench.volumes.recipe import RECIPES, Recipe
from uad_bench.volumes.steps.normalise import normalise, saturated_share, shortest_half_median

SHAPE = (5, 12, 12)


def scan(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    brain = rng.random(SHAPE) < 0.6
    return rng.gamma(4.0, 50.0, SHAPE).astype(np.float32), brain


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), gain=st.floats(0.01, 1000), offset=st.floats(-100, 100))
def test_median_stands_at_the_anchor_whatever_the_scanner_units(
    seed: int, gain: float, offset: float
) -> None:
    image, brain = scan(seed)
    result = normalise((image * gain + offset).astype(np.float32), brain, Recipe())
    assert result.dtype == np.float32
    assert result.min() >= 0.0
    assert result.max() <= 1.0
    assert not result[~brain].any()
    inside = image[brain].astype(np.float64)
    low, middle = np.percentile(inside, 1), shortest_half_median(inside)
    expected = (0.55 * (inside - low) / (middle - low)).clip(0, 1)
    np.testing.assert_allclose(result[brain], expected, atol=2e-3)
    np.testing.assert_allclose(result, normalise(image, brain, Recipe()), atol=2e-3)


@given(values=st.lists(st.integers(-50, 50), min_size=1, max_size=30))
def test_the_shortest_half_equals_brute_force(values: list[int]) -> None:
    ordered, half = sorted(values), len(values) // 2
    halves = [ordered[k : k + half + 1] for k in range(len(ordered) - half)]
    shortest = min(halves, key=lambda part: part[-1] - part[0])
    assert shortest_half_median(np.array(values, float)) == np.median(shortest)


@pytest.mark.parametrize("gain", [1.5, 2.0, 4.0])
def test_a_tumour_in_a_third_of_the_brain_hardly_moves_the_anchor(gain: float) -> None:
    rng = np.random.default_rng(0)
    healthy = rng.normal(100.0, 12.0, 20_000)
    tumour = rng.normal(100.0 * gain, 12.0 * gain, 10_000)
    both = np.concatenate([healthy, tumour])
    moved = shortest_half_median(both) / shortest_half_median(healthy)
    assert moved == pytest.approx(1.0, abs=0.03)
    assert np.median(both) / np.median(healthy) > 1.04


def test_percentiles_go_to_0_and_1() -> None:
    image, brain = scan(1)
    result = normalise(image, brain, RECIPES["paper"])
    low, high = np.percentile(image[brain].astype(float), (1, 99))
    expected = np.where(brain, ((image - low) / (high - low)).clip(0, 1), 0)
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_what_lies_outside_the_brain_does_not_count() -> None:
    image, brain = scan(2)
    other = np.where(brain, image, 1e6).astype(np.float32)
    np.testing.assert_array_equal(
        normalise(image, brain, Recipe()), normalise(other, brain, Recipe())
    )


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_brain_of_one_value_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ScanError, match="the brain has no contrast: 7"):
        normalise(np.full(SHAPE, 7.0, np.float32), np.ones(SHAPE, bool), recipe)


def test_saturated_share_counts_lesion_voxels_in_the_brain() -> None:
    image = np.array([[1.0, 1.0, 0.4, 1.0]], np.float32)
    brain = np.array([[True, True, True, False]])
    assert saturated_share(image, brain, np.array([[True, False, True, True]])) == 0.5
    assert saturated_share(image, brain, np.zeros((1, 4), bool)) is None
