"""Restoration moves a slice to where a network finds it likely, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from uad_bench.methods.gmvae_restoration import GMVAERestoration
from uad_bench.methods.vae_restoration import VAERestoration

from uad_bench.errors import DivergenceError
from uad_bench.method import FitContext, Slices
from uad_bench.models.latent.restoration import EARLY_RATE, RATE, Restoration, variation

SIZE = 8
BRAIN = torch.ones(2, 1, SIZE, SIZE, dtype=torch.bool)
NO_WEIGHT = torch.zeros(2)


def slices(count: int, seed: int = 0) -> Slices:
    rng = np.random.default_rng(seed)
    image = rng.uniform(0.2, 0.8, (count, 1, 16, 16)).astype(np.float32)
    brain = np.ones(image.shape, bool)
    brain[..., :2] = False
    image[~brain] = 0
    return Slices(image, brain, np.arange(count), (3.0, 2.0, 2.0))


def towards(target: float):
    """A bound with its least at one grey level: half the squared distance."""
    return lambda image: 0.5 * (image - target).square().sum(dim=(1, 2, 3))


def test_a_descent_on_a_parabola_follows_its_closed_form():
    start = torch.full((2, 1, SIZE, SIZE), 0.5)
    found = Restoration(towards(0.3), steps=50, clip=100.0)(start, BRAIN, NO_WEIGHT)
    left = (1 - 10 * EARLY_RATE) ** 10 * (1 - 10 * RATE) ** 40
    torch.testing.assert_close(found, torch.full_like(start, 0.3 + 0.2 * left))


def test_the_gradient_is_clipped_at_every_pixel():
    start = torch.full((2, 1, SIZE, SIZE), 0.9)
    found = Restoration(towards(0.0), steps=5, clip=0.1)(start, BRAIN, NO_WEIGHT)
    expected = 0.9 - 0.1 * 100 * (EARLY_RATE + 4 * RATE)
    torch.testing.assert_close(found, torch.full_like(start, expected))


def test_outside_the_brain_nothing_changes():
    start, brain = torch.rand(2, 1, SIZE, SIZE), torch.rand(2, 1, SIZE, SIZE) < 0.5
    found = Restoration(towards(0.3), steps=5, clip=100.0)(start, brain, NO_WEIGHT)
    assert torch.equal(found[~brain], start[~brain])
    assert not torch.equal(found[brain], start[brain])


def test_a_weight_on_what_was_changed_keeps_a_spot_from_being_restored():
    start = torch.full((2, 1, SIZE, SIZE), 0.3)
    start[:, :, 3, 3] = 0.9

    def changed(weight: float) -> float:
        restore = Restoration(towards(0.3), steps=100, clip=100.0)
        found = restore(start, BRAIN, torch.full((2,), weight))
        return float((start - found)[0, 0, 3, 3])

    assert changed(0.4) < 0.5 * changed(0.0)


def test_slices_do_not_see_each_other():
    start = torch.rand(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor([0.0, 1.0])
    restore = Restoration(towards(0.3), steps=100, clip=100.0)
    both = restore(start, BRAIN, weight)
    for one in range(2):
        alone = restore(start[[one]], BRAIN[[one]], weight[[one]])
        assert torch.equal(alone[0], both[one])


def test_a_bound_that_is_not_finite_is_named():
    restore = Restoration(lambda image: image.sum(dim=(1, 2, 3)) / 0 * 0, steps=2, clip=1.0)
    with pytest.raises(DivergenceError, match="restored image"):
        restore(torch.rand(2, 1, SIZE, SIZE), BRAIN, NO_WEIGHT)


@pytest.mark.parametrize(("steps", "diverges"), [(5, True), (500, False)])
def test_a_descent_with_too_large_steps_is_named(steps, diverges):
    def steep(image):
        return 40 * towards(0.5)(image)

    restore = Restoration(steep, steps=steps, clip=100.0)
    start = torch.full((2, 1, SIZE, SIZE), 0.6)
    if diverges:
        with pytest.raises(DivergenceError, match="raise restoration_steps"):
            restore(start, BRAIN, NO_WEIGHT)
    else:
        torch.testing.assert_close(restore(start, BRAIN, NO_WEIGHT), torch.full_like(start, 0.5))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_variation_is_the_sum_over_neighbours(height, width, seed):
    image = np.random.default_rng(seed).normal(size=(height, width))
    expected = sum(
        abs(image[i, j] - image[k, m])
        for i in range(height)
        for j in range(width)
        for k, m in ((i + 1, j), (i, j + 1))
        if k < height and m < width
    )
    assert variation(torch.from_numpy(image)[None, None]).item() == pytest.approx(expected)


@pytest.mark.parametrize("cls", [VAERestoration, GMVAERestoration])
def test_the_weight_is_the_one_that_changes_healthy_slices_least(cls):
    sizes = {"width": 2, "steps": 2, "batch_size": 2, "restoration_steps": 100}
    method = cls(cls.Params(**sizes, tv_choices=3))
    context = FitContext(0)
    method.fit(slices(6), slices(4, seed=1), context)
    (note,) = method.calibrate(slices(4, seed=1), context)
    changes = {}
    for weight in (0.0, 0.19, 0.38):
        fixed = cls(cls.Params(**sizes, tv_change=weight))
        fixed.load({k: v for k, v in method.state().items() if k != "tv_change_"})
        assert fixed.calibrate(slices(4, seed=1), context) == ()
        healthy = slices(4, seed=1)
        changes[weight] = np.abs(fixed.reconstruct(healthy) - healthy.image).mean()
    assert method.tv_change_ == pytest.approx(min(changes, key=changes.__getitem__))
    assert f"{method.tv_change_:.3g}" in note
