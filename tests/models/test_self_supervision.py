"""What is painted into slices: where it lies, how bright it is, and that it is never the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from scipy.stats import median_abs_deviation
from torch import Tensor, nn

from uad_bench.models.corruption.self_supervision import (
    clean,
    corrupt,
    paint_noise,
    paint_rectangles,
)
from uad_bench.phantom.datasets import simulate_subject
from uad_bench.volumes.recipe import RECIPES
from uad_bench.volumes.steps.normalise import normalise

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


def test_the_intensity_is_drawn_afresh_in_every_call():
    # the published transform draws it once and keeps it for a whole training
    image, brain = healthy(16)
    generator = torch.Generator().manual_seed(0)
    levels = []
    for _ in range(3):
        painted = paint_rectangles(image, brain, PAPER_SPACING, generator)
        levels += painted[painted != image].unique().tolist()
    assert len(levels) == len(set(levels)) > 30


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


def flat(count: int, size: int = 128) -> tuple[Tensor, Tensor]:
    """Slices of 0.5 with a brain that leaves a frame of 0 around it."""
    brain = torch.zeros(count, 1, size, size, dtype=torch.bool)
    brain[..., 8:-8, 8:-8] = True
    return 0.5 * brain, brain


def test_noise_stays_inside_the_brain_and_the_unit_interval_and_spares_the_input():
    image, brain = healthy()
    image[:, :, 60:64, 60:64] = 0.99
    before = image.clone()
    noisy = paint_noise(image, brain, torch.Generator().manual_seed(0))
    assert torch.equal(image, before)
    assert (noisy[~brain] == 0).all()
    assert noisy.min() == 0
    assert noisy.max() == 1
    assert ((noisy != image)[brain]).float().mean() > 0.95


def test_noise_is_centred_and_has_the_published_size():
    # a port of the method adds a constant -1 and twice the noise
    image, brain = flat(64)
    added = (paint_noise(image, brain, torch.Generator().manual_seed(0)) - image)[brain]
    assert added.mean().item() == pytest.approx(0.0, abs=0.01)
    # bilinear interpolation keeps 2/3 of the standard deviation, on average over an axis pair
    assert added.std().item() == pytest.approx(0.2 * 2 / 3, abs=0.015)


def test_noise_is_coarse_and_its_grid_lies_elsewhere_in_every_sample():
    image, brain = flat(32)
    noisy = paint_noise(image, brain, torch.Generator().manual_seed(0)).numpy()[:, 0, 8:-8, 8:-8]
    step = 127 / 15
    assert np.abs(np.diff(noisy, axis=2)).mean() < 0.35 * np.abs(noisy - 0.5).mean()
    bends = np.abs(np.diff(noisy, n=2, axis=2)).mean(axis=1)
    places = {int(np.argmax(sample[:9])) for sample in bends}
    assert len(places) > 4
    assert all(np.diff(np.flatnonzero(s > s.max() / 20))[:3].max() <= step + 1 for s in bends)


def test_noise_is_drawn_afresh_and_a_seed_draws_the_same():
    image, brain = healthy(2)
    generator = torch.Generator().manual_seed(0)
    first, second = (paint_noise(image, brain, generator) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal((first - image)[0], (first - image)[1])
    assert torch.equal(first, paint_noise(image, brain, torch.Generator().manual_seed(0)))


def test_the_corruption_is_the_one_that_is_named():
    image, brain = healthy(4)

    def corrupted(name) -> Tensor:
        return corrupt(image, brain, PAPER_SPACING, name, torch.Generator().manual_seed(0))

    noisy = paint_noise(image, brain, torch.Generator().manual_seed(0))
    assert torch.equal(corrupted("rectangles"), paint(image, brain))
    assert torch.equal(corrupted("noise"), noisy)
    assert corrupted("none") is image


def with_spots(image: Tensor) -> tuple[Tensor, np.ndarray]:
    """The slices with a 4 x 3 spot of intensity 0.95 near the middle, and where it is."""
    spot = np.zeros(image.shape, bool)
    spot[:, :, 60:64, 50:53] = True
    spotted = image.clone()
    spotted[torch.from_numpy(spot)] = 0.95
    return spotted, spot


def test_slices_without_outliers_keep_every_bit():
    image, brain = healthy(8)
    assert clean(image, brain).numpy().tobytes() == image.numpy().tobytes()


def test_an_outlier_becomes_the_median_of_the_brain_around_it_and_nothing_else_changes():
    image, brain = healthy(4)
    spotted, spot = with_spots(image)
    before = spotted.clone()
    cleaned = clean(spotted, brain)
    assert torch.equal(spotted, before)
    assert np.array_equal((cleaned != spotted).numpy(), spot)
    for sample, row, column in ((0, 60, 50), (3, 63, 52)):
        window = (slice(row - 7, row + 8), slice(column - 7, column + 8))
        around = spotted[sample, 0][window].numpy()
        around = np.sort(around[~spot[sample, 0][window] & brain[sample, 0][window].numpy()])
        assert cleaned[sample, 0, row, column].item() == around[(len(around) - 1) // 2]


def test_a_slice_is_cleaned_alike_in_any_company():
    image, brain = healthy(4)
    spotted, _ = with_spots(image)
    spotted[1] = image[1]
    together = clean(spotted, brain)
    assert torch.equal(together[1], image[1])
    alone = torch.cat([clean(spotted[i : i + 1], brain[i : i + 1]) for i in range(4)])
    assert torch.equal(together, alone)


@pytest.mark.parametrize(("depth", "is_cleaned"), [(1, False), (2, False), (3, True), (4, True)])
def test_the_bright_rim_of_the_brain_is_no_outlier(depth, is_cleaned):
    # at depth d a pixel's nearest neighbour outside the brain is d pixels away
    image = torch.full((1, 1, 64, 64), 0.5)
    brain = torch.zeros_like(image, dtype=torch.bool)
    brain[..., 10:54, 10:54] = True
    image *= brain
    image[0, 0, 30, 9 + depth] = 0.9
    assert (clean(image, brain)[0, 0, 30, 9 + depth].item() == 0.5) is is_cleaned


def test_the_brain_ends_where_the_image_does():
    image = torch.full((1, 1, 32, 32), 0.5)
    image[0, 0, 1, 16] = image[0, 0, 16, 30] = 0.9
    assert torch.equal(clean(image, torch.ones_like(image, dtype=torch.bool)), image)


@pytest.mark.parametrize("contrast", [1.5, 0.1])
def test_the_limit_is_three_robust_standard_deviations_of_the_brain_or_three_times_0_08(contrast):
    image, brain = healthy(1)
    image = (0.4 + contrast * (image - 0.4)) * brain
    tissue = image[brain].numpy()
    deviation = median_abs_deviation(tissue, scale="normal")
    assert (deviation > 0.08) == (contrast == 1.5)
    limit = float(np.median(tissue) + 3 * max(deviation, 0.08))
    for value, is_cleaned in ((limit - 0.002, False), (limit + 0.002, True)):
        spotted = image.clone()
        spotted[0, 0, 64, 64] = value
        assert (clean(spotted, brain)[0, 0, 64, 64] != spotted[0, 0, 64, 64]).item() is is_cleaned


def test_outliers_do_not_hide_themselves():
    # with a tenth of the brain at 0.95, the mean and three standard deviations lie above 1
    image, brain = healthy(1)
    bright = torch.zeros_like(brain)
    bright[..., 50:78, 50:78] = True
    image[bright] = 0.95
    tissue = image[brain]
    assert bright.sum() / brain.sum() > 0.09
    assert tissue.mean() + 3 * tissue.std() > 0.95
    assert ((clean(image, brain) != image) == bright).all()


def test_where_the_limit_lies_above_the_range_a_clipped_spot_is_an_outlier_and_a_pixel_is_not():
    generator = torch.Generator().manual_seed(0)
    image = 0.2 + 0.75 * torch.rand(1, 1, 64, 64, generator=generator)
    brain = torch.ones_like(image, dtype=torch.bool)
    image[..., 20:23, 20:23] = 1.0
    for row, column in ((40, 20), (40, 40), (40, 41), (10, 50), (11, 51)):
        image[0, 0, row, column] = 1.0
    tissue = image.numpy()
    limit = np.median(tissue) + 3 * median_abs_deviation(tissue, axis=None, scale="normal")
    assert limit > 1
    changed = clean(image, brain) != image
    # a corner has 4 of its 9 around it
    expected = {(20, 21), (21, 20), (21, 21), (21, 22), (22, 21)}
    assert {tuple(place) for place in changed[0, 0].nonzero().tolist()} == expected


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray]:
    """FLAIR ``[X, Y, Z]`` and brain of a simulated healthy person."""
    (scan,) = simulate_subject("hi", 1, seed=5)
    return scan.flair[::2, ::2, ::4], scan.brain[::2, ::2, ::4] > 0


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["median", "paper"])
def test_simulated_healthy_slices_are_cleaned_of_what_is_painted_in_and_of_little_else(
    simulated, recipe
):
    flair, inside = simulated
    image = normalise(flair, inside, RECIPES[recipe])
    image, brain = (torch.from_numpy(np.moveaxis(v, 2, 0)[:, None].copy()) for v in (image, inside))
    share = (clean(image, brain) != image).sum() / brain.sum()
    assert share < 0.005
    far = nn.functional.avg_pool2d(brain.float(), 13, stride=1, padding=6) == 1
    spots = torch.zeros_like(brain)
    rng = np.random.default_rng(0)
    for sample in far.flatten(1).any(dim=1).nonzero()[:, 0].tolist():
        row, column = rng.choice(far[sample, 0].nonzero().numpy())
        spots[sample, 0, row - 2 : row + 3, column - 2 : column + 3] = True
    painted = torch.where(spots, 1.0, image)
    changed = clean(painted, brain) != painted
    assert spots.sum() > 20 * 25
    assert (changed & spots).sum() / spots.sum() > 0.8
    assert (changed & ~spots).sum() / brain.sum() < 0.005


def test_an_outlier_far_from_other_tissue_takes_the_median_of_the_slice():
    image = torch.full((1, 1, 128, 128), 0.4)
    image[0, 0, 50:70, 50:70] = 0.9
    cleaned = clean(image, torch.ones_like(image, dtype=torch.bool))
    assert torch.equal(cleaned, torch.full_like(image, 0.4))


def test_cleaning_survives_a_slice_without_brain():
    image = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(clean(image, torch.zeros_like(image, dtype=torch.bool)), image)
