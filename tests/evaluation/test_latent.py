"""Tissue maps of the latent and structural similarity, against brute force and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import structural_similarity

from uad_bench import method
from uad_bench.errors import UadBenchError
from uad_bench.evaluation import latent
from uad_bench.evaluation.latent import ssim, tissue_dice

SHAPE = (2, 1, 5, 4)


def test_latent_maps_are_in_the_order_of_the_method_contract():
    assert (*latent.TISSUES, "background") == method.TISSUES


def _levels(labels: np.ndarray, count: int) -> np.ndarray:
    """One-hot ``[N, count, H, W]`` of ``[N, H, W]``; labels of ``count`` and above are nothing."""
    return np.stack([labels == at for at in range(count)], axis=1)


@settings(max_examples=60, deadline=None)
@given(
    maps=arrays(np.float32, (2, 4, 5, 4), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    tissue=arrays(np.uint8, (2, 3, 5, 4), elements=st.sampled_from([0, 60, 85, 86, 255])),
    brain=arrays(np.bool_, SHAPE),
)
def test_dice_is_what_counting_pixel_by_pixel_gives(
    maps: np.ndarray, tissue: np.ndarray, brain: np.ndarray
) -> None:
    sets: list[tuple[set, set]] = [(set(), set()) for _ in range(4)]
    for n, _, i, j in np.argwhere(brain):
        of = [int(value) for value in tissue[n, :, i, j]]
        of.append(255 - sum(of))
        sets[of.index(max(of))][0].add((n, i, j))
        values = list(maps[n, :, i, j])
        sets[values.index(max(values))][1].add((n, i, j))
    expected = {
        name: 2 * len(true & found) / (len(true) + len(found))
        for name, (true, found) in zip(("CSF", "GM", "WM"), sets, strict=False)
        if true or found
    }
    assert tissue_dice(maps, tissue, brain) == expected


def test_a_perfect_latent_has_dice_one_and_an_absent_tissue_has_none() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (2, 5, 4)) * 3  # CSF and background
    dice = tissue_dice(
        _levels(labels, 4).astype(np.float32),
        (_levels(labels, 3) * 255).astype(np.uint8),
        np.ones(SHAPE, dtype=bool),
    )
    assert dice == {"CSF": 1.0}


def test_what_the_latent_says_outside_the_brain_does_not_count() -> None:
    generator = np.random.default_rng(1)
    maps = generator.random((2, 4, 5, 4), dtype=np.float32)
    tissue = (_levels(generator.integers(0, 4, (2, 5, 4)), 3) * 255).astype(np.uint8)
    brain = generator.random(SHAPE) < 0.5
    other = np.where(brain, maps, generator.random(maps.shape, dtype=np.float32))
    assert tissue_dice(other, tissue, brain) == tissue_dice(maps, tissue, brain)


def test_background_inside_the_brain_is_an_error_of_the_tissue_on_the_other_side() -> None:
    brain = np.ones((1, 1, 1, 2), dtype=bool)
    white = np.array([[[[255, 255]]]], dtype=np.uint8)
    tissue = np.concatenate([0 * white, 0 * white, white], axis=1)
    maps = np.zeros((1, 4, 1, 2), dtype=np.float32)
    maps[0, 2, 0, 0] = maps[0, 3, 0, 1] = 1.0
    assert tissue_dice(maps, tissue, brain) == {"WM": pytest.approx(2 / 3)}


def test_maps_that_do_not_fit_are_refused() -> None:
    maps, brain = np.zeros((2, 4, 5, 4), np.float32), np.ones(SHAPE, dtype=bool)
    with pytest.raises(UadBenchError, match=r"\[N, 3, H, W\]"):
        tissue_dice(maps, np.zeros((2, 4, 5, 4), np.uint8), brain)


def _scan(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    brain = np.zeros((3, 1, 24, 19), dtype=bool)
    brain[:, :, 4:20, 3:15] = True
    image = generator.random(brain.shape, dtype=np.float32) * brain
    noise = generator.normal(0.0, 0.1, brain.shape).astype(np.float32)
    return image, np.clip(image + noise, 0.0, 1.0) * brain, brain


@pytest.mark.parametrize("seed", range(3))
def test_ssim_is_that_of_scikit_image(seed: int) -> None:
    image, reconstruction, brain = _scan(seed)
    expected = np.mean(
        [
            structural_similarity(
                a[0].astype(np.float64),
                b[0].astype(np.float64),
                data_range=1.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for a, b in zip(image, reconstruction, strict=True)
        ]
    )
    assert ssim(image, reconstruction, brain) == pytest.approx(expected, abs=1e-9)
    assert expected < 0.99


def test_equal_pictures_have_ssim_one_and_a_black_one_has_less() -> None:
    image, _, brain = _scan(0)
    assert ssim(image, image, brain) == pytest.approx(1.0)
    assert ssim(image, 0 * image, brain) < 0.5


def test_ssim_does_not_see_what_is_reconstructed_outside_the_brain() -> None:
    image, reconstruction, brain = _scan(0)
    other = np.where(brain, reconstruction, np.float32(0.7))
    assert ssim(image, other, brain) == ssim(image, reconstruction, brain)


@pytest.mark.parametrize("shape", [(0, 1, 24, 19), (3, 1, 24, 10)])
def test_slices_that_hold_no_window_are_refused(shape: tuple[int, ...]) -> None:
    image = np.zeros(shape, dtype=np.float32)
    with pytest.raises(UadBenchError, match="SSIM"):
        ssim(image, image, image > 0)
