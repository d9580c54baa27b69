"""IterMask2: the masks it learns from, and how its mask shrinks to what is anomalous."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uad_bench.models.batches import Batch
from uad_bench.models.corruption.masking import draw_masks, fine_structure, shrinking
from uad_bench.training.masked import filled_in

SPACING = (2.5, 2.0)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def brains(count: int) -> torch.Tensor:
    row, column = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    return (torch.hypot(row / 30, column / 24) < 1).expand(count, 1, 64, 64)


def rough(seed: int, count: int = 4) -> torch.Tensor:
    return torch.rand(count, 1, 64, 64, generator=source(seed))


def looks_of(image, brain, threshold, looks=8):
    """Fill in by other noise at every look."""
    return list(shrinking(lambda number, mask: rough(number + 1), image, brain, threshold, looks))


@given(st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_mask_only_shrinks(threshold, seed):
    image, brain = rough(100 + seed), brains(4)
    found = looks_of(image, brain, threshold)
    assert torch.equal(found[0][0], brain)
    for (before, _), (after, _) in pairwise(found):
        assert not (after & ~before).any()
    assert len(found) <= 8


def test_first_the_larger_part_is_kept_and_then_what_differs_by_the_threshold():
    image, brain = rough(0), brains(4)
    found = looks_of(image, brain, 0.4, looks=3)
    kept = found[1][0].sum(dim=(1, 2, 3)) / brain.sum(dim=(1, 2, 3))
    assert kept.tolist() == pytest.approx([0.6] * 4, abs=0.01)
    mask, made = found[1]
    assert torch.equal(found[2][0], mask & ((image - made).abs() >= 0.4))


def test_a_slice_whose_mask_no_longer_shrinks_stays_as_it_is():
    image, brain = torch.full((2, 1, 64, 64), 0.5), brains(2)
    spot = torch.zeros_like(brain)
    spot[0, :, 20:40, 20:40] = True
    column = torch.arange(64)

    def look(number: int, mask: torch.Tensor) -> torch.Tensor:
        # the first slice's spot is never filled in, and the second slice only look by look
        wrong = torch.where(column < 50 - 6 * number, 0.3, 0.1)
        wrong = torch.stack((0.001 * column, wrong))[:, None, None]
        return image - torch.where(spot, 0.4, wrong)

    found = list(shrinking(look, image, brain, 0.2, 8))
    assert torch.equal(found[-1][0][0], spot[0])
    shares = [mask[1].sum().item() for mask, _ in found]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) > 4
    alone = list(shrinking(lambda n, m: look(n, m)[:1], image[:1], brain[:1], 0.2, 8))
    assert torch.equal(alone[-1][1][0], found[-1][1][0])
    assert len(alone) == 3 < len(found)


def test_masks_are_clusters_of_squares_in_the_brain():
    brain = brains(300)
    masks = draw_masks(brain, SPACING, source())
    assert not (masks & ~brain).any()
    share = masks.sum(dim=(1, 2, 3)) / brain.sum(dim=(1, 2, 3))
    assert share.mean().item() == pytest.approx(0.4, abs=0.06)
    assert share.min() > 0.03
    assert share.max() < 0.9
    inside = brain[..., 1:] & brain[..., :-1]
    border = (masks[..., 1:] != masks[..., :-1]) & inside
    # a wall of squares at random, of 7.5 to 30 mm, would have more
    assert border.sum() / inside.sum() < 0.5 * SPACING[1] / 15


def test_fine_structure_keeps_the_phase_and_loses_coarse_intensities():
    image = 0.5 * rough(0, 1) + 0.2
    found = fine_structure(image, SPACING)
    assert found.mean().abs() < 1e-3  # it was 0.45
    torch.testing.assert_close(fine_structure(image + 0.3, SPACING), found, atol=1e-5, rtol=0)
    waves, before = (np.fft.fft2(one[0, 0].double().numpy()) for one in (found, image))
    rows, columns = (np.fft.fftfreq(64, size) for size in SPACING)
    coarse = np.hypot(rows[:, None], columns) < 1 / 16
    np.testing.assert_allclose(np.abs(waves[coarse]), 1, atol=1e-3)
    np.testing.assert_allclose(waves[~coarse], before[~coarse], atol=1e-3)
    np.testing.assert_allclose(np.angle(waves / before), 0, atol=1e-2)


def test_what_is_masked_is_not_seen_but_for_its_fine_structure():
    image, brain = rough(0, 2), brains(2)
    batch = Batch(image, brain, torch.arange(2), (3.0, *SPACING))
    mask = torch.zeros_like(brain)
    mask[:, :, 20:40, 20:40] = True
    noise = torch.randn(image.shape, generator=source())
    made = filled_in(lambda given: given[:, :1] + 0 * given[:, 1:], batch, mask, noise)
    assert torch.equal(made[mask], noise[mask])
    assert torch.equal(made[brain & ~mask], image[brain & ~mask])
    brighter = Batch(image + 0.2, brain, batch.z, batch.spacing)
    seen = [filled_in(lambda given: given[:, 1:], one, mask, noise) for one in (batch, brighter)]
    torch.testing.assert_close(*seen, atol=1e-5, rtol=0)
