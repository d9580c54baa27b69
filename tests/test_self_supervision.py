"""Painted rectangles: where they lie, how bright they are, and that they are never the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from torch import Tensor

from uad_bench.models.self_supervision import paint_rectangles

PAPER_SPACING = (1.875, 1.875)


def healthy(count: int = 64, size: int = 128) -> tuple[Tensor, Tensor]:
    """Slices with intensities 0.3 to 0.5 in a disc, and the disc."""
    generator = torch.Generator().manual_seed(5)
    row, column = torch.meshgrid(*2 * [torch.linspace(-1, 1, size)], indexing="ij")
    brain = (row.hypot(column) < 0.8).expand(count, 1, -1, -1)
    image = 0.3 + 0.2 * torch.rand(count, 1, size, size, generator=generator)
    return image * brain, brain


def paint(
    image: Tensor, brain: Tensor, seed: int = 0, spacing: tuple[float, float] = PAPER_SPACING
) -> Tensor:
    return paint_rectangles(image, brain, spacing, torch.Generator().manual_seed(seed))


def test_nothing_outside_the_brain_changes_and_the_input_stays_as_it_was():
    image, brain = healthy()
    before = image.clone()
    painted = paint(image, brain)
    assert torch.equal(image, before)
    assert torch.equal(painted[~brain], image[~brain])
    assert (painted != image).any()


def test_a_sample_has_one_intensity_between_its_upper_quartile_and_one():
    image, brain = healthy()
    painted = paint(image, brain)
    levels = []
    for before, after in zip(image, painted, strict=True):
        values = after[after != before].unique()
        assert len(values) <= 1
        tissue = before[before > 0.15].numpy()
        for value in values.tolist():
            assert np.quantile(tissue, 0.75) - 1e-6 <= value <= 1
            levels.append(value)
    assert len(set(levels)) == len(levels) > 40
    assert min(levels) < 0.55
    assert max(levels) > 0.95


def test_every_call_draws_afresh_and_a_seed_draws_the_same():
    image, brain = healthy(8)
    generator = torch.Generator().manual_seed(0)
    first = paint_rectangles(image, brain, PAPER_SPACING, generator)
    second = paint_rectangles(image, brain, PAPER_SPACING, generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, paint(image, brain, seed=0))


def test_each_of_three_rectangles_is_painted_half_of_the_time():
    image = torch.full((4000, 1, 16, 16), 0.4)
    everywhere = torch.ones_like(image, dtype=torch.bool)
    painted = paint(image, everywhere, spacing=(15.0, 15.0))
    missing = (painted == image).flatten(1).all(dim=1).float().mean().item()
    # one in eight has no rectangle; a few more fall between the centres of these large pixels
    assert 0.125 - 0.02 < missing < 0.125 + 0.1


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_sides_keep_their_size_in_mm_on_any_pixel_size(scale):
    size = round(128 / scale)
    image = torch.full((600, 1, size, size), 0.4)
    everywhere = torch.ones_like(image, dtype=torch.bool)
    spacing = (1.875 * scale, 1.875 * scale)
    sides = []
    for sample in paint(image, everywhere, spacing=spacing)[:, 0].numpy() != np.float32(0.4):
        components, count = label(sample)
        rows, columns = np.nonzero(components == 1)
        if count == 1 and len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1):
            sides.append(((np.ptp(rows) + 1) * spacing[0], (np.ptp(columns) + 1) * spacing[1]))
    height, width = np.transpose(sides)
    pixel = spacing[0]
    assert 5.6 - pixel <= width.min() <= width.max() <= 35.6 + pixel
    assert 5.6 * 2 / 3 - pixel <= height.min() <= height.max() <= 35.6 * 4 / 3 + pixel
    assert np.mean(width) == pytest.approx(20.6, abs=2.5)
    assert np.mean(height) == pytest.approx(20.6, abs=2.5)


def test_an_empty_slice_stays_finite_and_empty():
    image = torch.zeros(4, 1, 32, 32)
    painted = paint(image, torch.zeros_like(image, dtype=torch.bool), spacing=(7.5, 7.5))
    assert torch.equal(painted, image)
