"""Losses, divergences and the signal-to-noise sampler against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from uad_bench.models.latent.gaussians import (
    Gaussian,
    Sampler,
    divergence,
    divergence_from_standard,
    negative_log_likelihood,
)
from uad_bench.models.losses.pixelwise import (
    absolute_error,
    squared_error,
    total_variation,
)

means = st.floats(-5, 5)
log_variances = st.floats(-6, 3)


def gaussian(mean: float, log_variance: float) -> Gaussian:
    return Gaussian(
        torch.tensor([mean], dtype=torch.float64), torch.tensor([log_variance], dtype=torch.float64)
    )


def as_normal(q: Gaussian) -> Normal:
    return Normal(q.mean, torch.exp(0.5 * q.log_variance))


@given(means, log_variances, means, log_variances)
def test_divergence_equals_torch(mq, lq, mp, lp):
    q, p = gaussian(mq, lq), gaussian(mp, lp)
    expected = kl_divergence(as_normal(q), as_normal(p))
    torch.testing.assert_close(divergence(q, p), expected, rtol=1e-9, atol=1e-9)


@given(means, log_variances)
def test_divergence_from_standard_equals_torch_and_the_general_form(mq, lq):
    q, standard = gaussian(mq, lq), gaussian(0.0, 0.0)
    found = divergence_from_standard(q)
    expected = kl_divergence(as_normal(q), as_normal(standard))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found, divergence(q, standard), rtol=1e-9, atol=1e-9)


@given(means, log_variances)
def test_divergence_of_equal_gaussians_is_zero(mean, log_variance):
    q = gaussian(mean, log_variance)
    assert divergence(q, q).item() == pytest.approx(0.0, abs=1e-12)


def posterior(batch: int = 3, seed: int = 0) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(batch, 2, 8, 8, generator=generator)
    scale = torch.tensor([0.1, 1.0, 5.0])[:batch, None, None, None]
    return Gaussian(mean * scale, torch.full_like(mean, -1.3))


@pytest.mark.parametrize("snr", [4.0, 16.0, 64.0])
def test_noise_energy_is_fixed_by_the_signal_to_noise_ratio_of_each_sample(snr):
    q = posterior()
    noise = Sampler(snr)(q, torch.Generator().manual_seed(1)) - q.mean
    energy = noise.square().sum(dim=(1, 2, 3)) * snr
    signal = q.mean.square().sum(dim=(1, 2, 3)) * np.exp(-1.3)
    torch.testing.assert_close(energy, signal, rtol=1e-4, atol=0.0)


def test_with_norms_over_the_batch_the_identity_holds_for_the_batch_only():
    q = posterior()
    noise = Sampler(16.0, "batch")(q, torch.Generator().manual_seed(1)) - q.mean
    energy, signal = noise.square().sum() * 16, q.mean.square().sum() * np.exp(-1.3)
    torch.testing.assert_close(energy, signal, rtol=1e-4, atol=0.0)
    assert noise[0].square().sum() > 10 * q.mean[0].square().sum() * np.exp(-1.3) / 16


def test_a_sample_does_not_depend_on_the_rest_of_its_batch():
    q = posterior()
    louder = Gaussian(q.mean * torch.tensor([1.0, 9.0, 9.0])[:, None, None, None], q.log_variance)
    draws = [Sampler(16.0)(x, torch.Generator().manual_seed(1))[0] for x in (q, louder)]
    torch.testing.assert_close(*draws)


def test_plain_sampling_has_the_posteriors_moments():
    q = Gaussian(torch.full((64, 1, 32, 32), 0.7), torch.full((64, 1, 32, 32), -1.0))
    draw = Sampler()(q, torch.Generator().manual_seed(0))
    assert draw.mean().item() == pytest.approx(0.7, abs=0.01)
    assert draw.var().item() == pytest.approx(np.exp(-1.0), rel=0.02)


@pytest.mark.parametrize("sampler", [Sampler(), Sampler(16.0), Sampler(16.0, "batch")])
def test_without_a_generator_the_draw_is_the_mean(sampler):
    q = posterior()
    assert sampler(q, None) is q.mean


def test_gradients_stay_finite_where_the_signal_is_zero():
    mean = torch.zeros(2, 1, 4, 4, requires_grad=True)
    Sampler(16.0)(Gaussian(mean, torch.zeros(2, 1, 4, 4)), torch.Generator()).sum().backward()
    assert torch.isfinite(mean.grad).all()


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 1000))
def test_reconstruction_losses_equal_loops(height, width, seed):
    rng = np.random.default_rng(seed)
    image, other = rng.random((2, 2, 1, height, width))
    vertical = [
        abs(image[:, 0, i + 1, j] - image[:, 0, i, j])
        for i in range(height - 1)
        for j in range(width)
    ]
    horizontal = [
        abs(image[:, 0, i, j + 1] - image[:, 0, i, j])
        for i in range(height)
        for j in range(width - 1)
    ]
    expected = np.mean(vertical, axis=0) + np.mean(horizontal, axis=0)
    found = total_variation(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    l1 = absolute_error(torch.from_numpy(image), torch.from_numpy(other)).numpy()
    np.testing.assert_allclose(l1, np.abs(image - other).mean(axis=(1, 2, 3)), rtol=1e-12)


def brain_and_images(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image, other = torch.rand(2, 3, 1, 5, 4, dtype=torch.float64, generator=generator)
    brain = torch.rand(3, 1, 5, 4, generator=generator) < 0.6
    brain[2] = False
    return image, other, brain


@given(st.integers(0, 1000), st.floats(-12, 3))
def test_the_likelihood_equals_torch_inside_the_brain_but_for_its_constant(seed, log_variance):
    image, mean, brain = brain_and_images(seed)
    predicted = Gaussian(mean, torch.full_like(mean, log_variance))
    constant = 0.5 * np.log(2 * np.pi)
    per_pixel = -as_normal(predicted).log_prob(image) - constant
    expected = torch.stack([x[b].sum() for x, b in zip(per_pixel, brain, strict=True)])
    found = negative_log_likelihood(image, predicted, brain)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_with_unit_variance_the_likelihood_is_half_the_squared_error():
    image, mean, brain = brain_and_images(0)
    found = negative_log_likelihood(image, Gaussian(mean, torch.zeros_like(mean)), brain)
    torch.testing.assert_close(
        found, 0.5 * squared_error(image, mean, brain) * brain.sum((1, 2, 3))
    )


def test_the_squared_error_is_the_mean_inside_the_brain_and_0_without_one():
    image, other, brain = brain_and_images(1)
    expected = [
        ((x - y)[b] ** 2).mean().item() for x, y, b in zip(image, other, brain, strict=True)
    ]
    found = squared_error(image, other, brain).tolist()
    assert found == pytest.approx([*expected[:2], 0.0])
