"""Normalisation: the formula of the recipe, inside the brain only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uad_bench.errors import ScanError
from uad_bench.volumes.normalise import normalise, saturated_share
from uad_bench.volumes.recipe import RECIPES, Recipe

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
    assert np.median(result[brain]) == pytest.approx(0.55, abs=2e-3)
    np.testing.assert_allclose(result, normalise(image, brain, Recipe()), atol=2e-3)


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
    with pytest.raises(ScanError, match="the brain has one value, 7"):
        normalise(np.full(SHAPE, 7.0, np.float32), np.ones(SHAPE, bool), recipe)


def test_saturated_share_counts_lesion_voxels_in_the_brain() -> None:
    image = np.array([[1.0, 1.0, 0.4, 1.0]], np.float32)
    brain = np.array([[True, True, True, False]])
    assert saturated_share(image, brain, np.array([[True, False, True, True]])) == 0.5
    assert saturated_share(image, brain, np.zeros((1, 4), bool)) is None
