"""Noise that a network takes off slices: its statistics, and that each slice has its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uad_bench.models.diffusion.noise import (
    LONGEST_MM,
    draw_noise,
    noise_of_slices,
    simplex,
    simplex_noise,
)

KINDS = ("gaussian", "simplex")
SKEW, UNSKEW = (math.sqrt(3) - 1) / 2, (3 - math.sqrt(3)) / 6


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def simplex_by_hand(row: float, column: float, permutation: list[int]) -> float:
    """The sum over every lattice point that is near, whatever triangle the place is in."""
    skewed = (row + column) * SKEW
    total = 0.0
    for i in range(math.floor(row + skewed) - 2, math.floor(row + skewed) + 4):
        for j in range(math.floor(column + skewed) - 2, math.floor(column + skewed) + 4):
            dy, dx = row - i + (i + j) * UNSKEW, column - j + (i + j) * UNSKEW
            near = max(0.5 - dy * dy - dx * dx, 0.0) ** 4
            angle = permutation[(i + permutation[j % 256]) % 256] % 8 * math.pi / 4
            total += near * (math.sin(angle) * dy + math.cos(angle) * dx)
    return total


@given(st.floats(0, 300), st.floats(0, 300), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_simplex_noise_is_the_sum_over_all_lattice_points_near(row, column, seed):
    permutation = torch.randperm(256, generator=source(seed))
    place = (torch.full((1, 1, 1, 1), value, dtype=torch.float64) for value in (row, column))
    found = simplex(*place, permutation[None]).item()
    assert found == pytest.approx(simplex_by_hand(row, column, permutation.tolist()), abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_has_mean_0_and_variance_1(kind):
    maps = draw_noise(kind, (40, 64, 48), (2.0, 2.0), source())
    assert maps.shape == (40, 1, 64, 48)
    assert maps.mean().abs() < 0.02
    assert maps.square().mean().item() == pytest.approx(1, abs=0.03)


def test_every_simplex_map_has_them_by_itself():
    maps = simplex_noise((10, 64, 48), (2.0, 2.0), source()).double()
    assert maps.mean(dim=(2, 3)).abs().max() < 1e-5
    assert (maps.square().mean(dim=(2, 3)) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_slices_of_a_batch_have_noise_of_their_own(kind):
    # a published port draws one map for a whole batch
    maps = draw_noise(kind, (30, 64, 64), (3.0, 3.0), source()).flatten(1)
    alike = np.corrcoef(maps.numpy())[~np.eye(30, dtype=bool)]
    assert np.abs(alike).max() < 0.9
    assert np.abs(alike.mean()) < 0.05


def test_simplex_noise_is_coarser_than_white_noise_and_keeps_its_size_in_mm():
    def alike(spacing: float, apart_mm: float) -> float:
        maps = simplex_noise((30, 48, 48), (spacing, spacing), source())
        pixels = round(apart_mm / spacing)
        return float((maps[..., pixels:, :] * maps[..., :-pixels, :]).mean())

    near, far = alike(2.0, 8.0), alike(2.0, LONGEST_MM)
    assert near > 0.3 > abs(far) + 0.1
    assert alike(4.0, 8.0) == pytest.approx(near, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slices_noise_follows_from_its_seed_and_place_alone(kind):
    image, spacing = torch.zeros(3, 1, 16, 24), (2.0, 2.0)
    found = noise_of_slices(kind, image, torch.tensor([5, 9, 5]), spacing, (1, 0))
    alone = noise_of_slices(kind, image[:1], torch.tensor([9]), spacing, (1, 0))
    assert torch.equal(found[1], alone[0])
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    for seed in ((2, 0), (1, 1)):
        other = noise_of_slices(kind, image[:1], torch.tensor([5]), spacing, seed)
        assert not torch.equal(other[0], found[0])
