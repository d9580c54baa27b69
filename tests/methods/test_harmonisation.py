"""THOR: healthy tissue is put in from the slice, and only there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import nn
from uad_bench.methods.thor import THOR

from uad_bench.models.backbones.lite0 import unlikeness
from uad_bench.models.batches import Batch
from uad_bench.models.diffusion.harmonisation import (
    difference,
    harmonic_mean,
    share_replaced,
    smoothed,
)
from uad_bench.models.diffusion.schedule import TIMES, centred

SPACING = (4.0, 5.0)


def maps(count: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed))


def batch() -> Batch:
    image = 0.2 + 0.5 * maps(2)
    brain = torch.ones_like(image, dtype=torch.bool)
    return Batch(image, brain, torch.arange(2), (3.0, *SPACING))


def unfitted(**params) -> THOR:
    method = THOR(THOR.Params(**params))
    method.seed_ = 0
    return method


def test_what_is_replaced_is_grey_morphology():
    found = share_replaced(maps(), SPACING)
    for one, share in zip(maps().numpy()[:, 0], found.numpy()[:, 0], strict=True):
        relative = one / one.max()
        spread = ndimage.grey_dilation(ndimage.grey_closing(relative, (5, 5)), (5, 5))
        np.testing.assert_allclose(share, (spread + relative) / 2, rtol=1e-5)
    assert found.min() >= 0
    assert found.max() <= 1


def test_nothing_is_replaced_where_nothing_differs():
    assert (share_replaced(torch.zeros(2, 1, 32, 32), SPACING) == 0).all()


def test_a_harmonic_mean_is_high_where_all_maps_are():
    both = [maps(), maps(seed=1)]
    expected = stats.hmean(torch.stack(both).numpy(), axis=0)
    np.testing.assert_allclose(harmonic_mean(both).numpy(), expected, rtol=1e-4, atol=1e-6)
    assert harmonic_mean([torch.zeros(1), torch.ones(1)]).item() == pytest.approx(0, abs=1e-7)
    assert harmonic_mean([torch.zeros(1), torch.zeros(1)]).item() == 0


def test_smoothing_is_a_gaussian():
    expected = ndimage.gaussian_filter(maps()[0, 0].numpy(), 2.0, mode="nearest", truncate=3.0)
    np.testing.assert_allclose(smoothed(maps(), 2.0)[0, 0].numpy(), expected, rtol=1e-4)


def test_equal_slices_are_not_unlike_and_a_spot_is_unlike_where_it_is():
    image = batch().image
    assert unlikeness(image, image).max() < 1e-5
    assert (difference(image, image) == 0).all()
    spotted = image.clone()
    spotted[:, :, 8:16, 8:16] = 1.0
    apart = unlikeness(image, spotted)
    assert apart.shape == image.shape
    assert apart[:, :, 8:16, 8:16].mean() > 3 * apart[:, :, 22:, 22:].mean()


class Knowing(nn.Module):
    """Knows the noise, but for a square where it sees something darker than there is."""

    def __init__(self, noise: torch.Tensor, wrong: float = 0.0) -> None:
        super().__init__()
        self.noise, self.wrong, self.seen = noise, wrong, []
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        self.seen.append((image, time))
        found = self.noise.clone()
        found[:, :, 12:20, 12:20] += self.wrong
        return found


def test_a_healthy_slice_stays_as_it_is():
    method, given = unfitted(), batch()
    method.network_ = Knowing(method.noise_for(given))
    torch.testing.assert_close(method.reconstruct_batch(given), given.image, atol=1e-4, rtol=0)
    assert method.raw_score(given).max() < 1e-4


def test_healthy_tissue_is_put_in_and_gets_the_same_noise_again():
    method, given = unfitted(ddim_steps=2, harmonisations=1, start=400, trained_to=400), batch()
    noise = method.noise_for(given)
    method.network_ = Knowing(noise, wrong=0.5)
    made = method.reconstruct_batch(given)
    (_, first), (image, second) = method.network_.seen
    assert (first.unique().item(), second.unique().item()) == (400, 200)
    left = float(np.prod(1 - np.linspace(1e-4, 0.02, TIMES)[:200]))
    clean = (image - (1 - left) ** 0.5 * noise) / left**0.5  # what went on
    away = (slice(None), slice(None), slice(26, None), slice(26, None))
    torch.testing.assert_close(clean[away], centred(given.image)[away], atol=1e-4, rtol=0)
    assert (made - given.image)[:, :, 12:20, 12:20].mean() < -0.05
    found = method.raw_score(given)
    assert found[:, :, 12:20, 12:20].mean() > 10 * found[away].mean()


def test_a_map_keeps_its_scale_from_slice_to_slice():
    # the published maps are divided by their own maximum, which makes every slice have a lesion
    method, given = unfitted(), batch()
    scores = []
    for wrong in (0.5, 0.1):
        method.network_ = Knowing(method.noise_for(given), wrong)
        scores.append(method.raw_score(given).amax())
    assert scores[0] > 3 * scores[1]
