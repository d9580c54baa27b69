"""Tissue intensities of one scan, and how surprising a voxel is, against simulation and oracles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from scipy.stats import norm
from skimage.filters import apply_hysteresis_threshold
from sklearn.mixture import GaussianMixture

from uad_bench.models.intensity.bright_regions import (
    REACH_MM,
    _ball,
    _depth,
    _largest_around,
    _raised,
    bright_regions,
    filled,
    smoothed,
)
from uad_bench.models.intensity.tissue_mixture import (
    ITERATIONS,
    LEVELS,
    SMALLEST_SD,
    UNLIKELY_SD,
    WEIGHTED_VARIANCE,
    TissueIntensities,
    _levels,
    _shared,
    blurred,
    expectation,
    fit_tissues,
    surprise,
)
from uad_bench.models.intensity.total_variation import total_variation

TRUTH = TissueIntensities(np.array([0.25, 0.6, 0.5]), np.array([0.05, 0.03, 0.025]))
START = TissueIntensities(np.array([0.3, 0.65, 0.53]), np.array([0.1, 0.06, 0.06]))
EVERYWHERE = np.array([0.2, 0.4, 0.4])


def mixture(
    count: int = 20_000, outliers: float = 0.0, *, certainty: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """Intensities, and what an atlas that is right so often expects there."""
    rng = np.random.default_rng(0)
    tissue = rng.choice(3, count, p=EVERYWHERE)
    wrong = rng.random(count) > certainty
    seen = np.where(wrong, rng.choice(3, count, p=EVERYWHERE), tissue)
    expected = certainty * np.eye(3)[seen] + (1 - certainty) * EVERYWHERE
    intensity = rng.normal(TRUTH.mean[tissue], TRUTH.sd[tissue])
    lesion = rng.random(count) < outliers
    return np.where(lesion, rng.normal(0.9, 0.03, count), intensity), expected


@pytest.mark.parametrize("outliers", [0.0, 0.1])
def test_the_intensities_of_a_simulated_scan_are_recovered_with_and_without_lesions(outliers):
    found = fit_tissues(*mixture(outliers=outliers), START, 0.0)
    np.testing.assert_allclose(found.mean, TRUTH.mean, atol=0.004)
    np.testing.assert_allclose(found.sd, TRUTH.sd, rtol=0.12)


def test_lesions_bend_an_ordinary_mixture_and_hardly_this_one():
    clean, lesions = mixture(), mixture(outliers=0.1)
    here, there = (fit_tissues(*scan, START, 0.0) for scan in (clean, lesions))
    plain = [
        GaussianMixture(3, means_init=START.mean[:, None], random_state=0)
        .fit(intensity[:, None])
        .means_.ravel()
        for intensity, _ in (clean, lesions)
    ]
    assert np.abs(there.mean - here.mean).max() < 0.005
    assert np.abs(plain[1] - plain[0]).max() > 0.1


def test_without_an_atlas_and_outliers_it_finds_what_scikit_learn_finds():
    intensity, _ = mixture()
    expected = np.tile(EVERYWHERE, (len(intensity), 1))
    found = fit_tissues(intensity, expected, START, 0.0)
    oracle = GaussianMixture(
        3,
        weights_init=EVERYWHERE,
        means_init=START.mean[:, None],
        precisions_init=START.sd[:, None, None] ** -2,
        tol=1e-6,
        max_iter=500,
    ).fit(intensity[:, None])
    np.testing.assert_allclose(found.mean, oracle.means_.ravel(), atol=0.006)
    np.testing.assert_allclose(found.sd, oracle.covariances_.ravel() ** 0.5, rtol=0.2)


def test_the_variance_is_made_consistent_by_what_the_weights_take_off_it():
    least = np.exp(-0.5 * UNLIKELY_SD**2)

    def moment(power: int) -> float:
        def weighted(d: float) -> float:
            density = np.exp(-0.5 * d * d)
            return float(density * density / (density + least) * d**power)

        return float(quad(weighted, -12, 12)[0])

    assert moment(2) / moment(0) == pytest.approx(WEIGHTED_VARIANCE, abs=5e-6)


def test_one_tissue_alone_has_the_mean_and_the_spread_of_its_sample():
    intensity = np.random.default_rng(0).normal(0.6, 0.05, 20_000)
    found = fit_tissues(intensity, np.tile([0.0, 1.0, 0.0], (20_000, 1)), START, 0.0)
    assert found.mean[1] == pytest.approx(0.6, abs=0.002)
    assert found.sd[1] == pytest.approx(0.05, rel=0.02)


def test_shrinkage_goes_from_the_scan_to_the_start():
    scan = mixture(2_000)
    own, some, all_but = (fit_tissues(*scan, START, weight) for weight in (0.0, 1.0, 1e6))
    np.testing.assert_allclose(all_but.mean, START.mean, atol=1e-4)
    np.testing.assert_allclose(all_but.sd, START.sd, rtol=1e-4)
    assert (np.abs(some.mean - START.mean) < np.abs(own.mean - START.mean)).all()
    assert (np.abs(some.sd - START.sd) < np.abs(own.sd - START.sd)).all()


def test_a_tissue_without_voxels_and_a_scan_without_voxels_keep_the_start():
    intensity = np.random.default_rng(0).normal(0.5, 0.025, 500)
    expected = np.tile([0.0, 0.0, 1.0], (500, 1))
    found = fit_tissues(intensity, expected, START, 0.0)
    np.testing.assert_allclose(found.mean[:2], START.mean[:2])
    np.testing.assert_allclose(found.sd[:2], START.sd[:2])
    none = fit_tissues(np.empty(0), np.empty((0, 3)), START, 1.0)
    assert none.mean is START.mean
    assert none.sd is START.sd


def test_an_even_scan_has_no_tissue_without_spread():
    found = fit_tissues(np.full(300, 0.5), np.tile(EVERYWHERE, (300, 1)), START, 0.0)
    assert np.isfinite(found.mean).all()
    assert (found.sd >= SMALLEST_SD).all()


def test_the_fit_is_that_of_every_voxel_by_itself():
    """The steps as they are written, without levels."""
    intensity, expected = mixture(outliers=0.05)
    likely, mean, sd = expected.T, START.mean, START.sd
    prior_count, least = 0.5 * expected.sum(axis=0), np.exp(-0.5 * UNLIKELY_SD**2)
    for _ in range(ITERATIONS):
        density = np.exp(-0.5 * ((intensity - mean[:, None]) / sd[:, None]) ** 2)
        posterior = likely * density / sd[:, None]
        posterior /= posterior.sum(axis=0)
        weight = posterior * density / (density + least)
        count, drawn = weight.sum(axis=1), 0.1 * prior_count
        mean = (weight @ intensity + drawn * START.mean) / (count + drawn)
        spread = (weight * (intensity - mean[:, None]) ** 2).sum(axis=1) / WEIGHTED_VARIANCE
        sd = np.sqrt((spread + prior_count * START.sd**2) / (count + prior_count))
    found = fit_tissues(intensity, expected, START, 0.5)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(found.sd, sd, rtol=1e-5)


@given(arrays(np.float32, st.integers(1, 40), elements=st.floats(0.0, 1.0, width=32)))
def test_voxels_are_sorted_into_levels_that_differ_little(intensity):
    intensity = intensity.astype(float)
    order, ends, typical = _levels(intensity)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(intensity)))
    parts = np.split(intensity[order], ends[:-1])
    assert ends[-1] == len(intensity)
    assert min(map(len, parts)) > 0
    assert max(map(np.ptp, parts)) <= np.ptp(intensity) / (LEVELS - 1) * (1 + 1e-9)
    np.testing.assert_allclose(typical, [part.mean() for part in parts], rtol=1e-12, atol=1e-300)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_compiled_or_not_the_sums_of_a_level_are_the_same(sizes, seed):
    rng = np.random.default_rng(seed)
    likely, ends = rng.random((3, sum(sizes))), np.cumsum(sizes)
    density = rng.random((3, len(sizes))) * (rng.random((3, len(sizes))) < 0.8)
    found = _shared(likely, ends, density)
    np.testing.assert_array_equal(found, _shared.plain(likely, ends, density))
    for level, part in enumerate(np.split(likely, ends[:-1], axis=1)):
        total = density[:, level] @ part + 1e-12
        np.testing.assert_allclose(found[:, level], (part / total).sum(axis=1))


def test_the_typical_scan_has_the_median_of_each_tissue():
    several = [TissueIntensities(np.array([k, -k]), np.array([2.0 * k, k])) for k in (1, 5, 2)]
    typical = TissueIntensities.median(several)
    np.testing.assert_array_equal(typical.mean, [2, -2])
    np.testing.assert_array_equal(typical.sd, [4, 2])


shares = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)
levels = st.floats(0.0, 1.0)


@given(levels, shares)
def test_surprise_is_the_logarithm_of_the_brighter_share_of_grey_and_white_matter(value, share):
    csf, gm, wm = np.array(share) / sum(share)
    tails = norm.sf(value, TRUTH.mean[1:], TRUTH.sd[1:])
    brighter = (csf + gm) * tails[0] + wm * tails[1]
    (found,) = surprise(np.array([value]), np.array([[csf, gm, wm]]), TRUTH)
    assert found >= 0
    assert found == pytest.approx(max(-np.log10(brighter), 0.0), rel=1e-9, abs=1e-9)


@given(levels, levels, shares)
def test_what_is_brighter_is_at_least_as_surprising(one, other, share):
    expected = np.tile(np.array(share) / sum(share), (2, 1))
    low, high = surprise(np.sort([one, other]), expected, TRUTH)
    assert low <= high


def test_surprise_stays_finite_where_the_tail_is_below_every_number():
    (found,) = surprise(np.array([5.0]), EVERYWHERE[None], TRUTH)
    assert 1_000 < found < np.inf


def test_what_is_expected_is_the_blurred_atlas_and_nowhere_nothing():
    maps = np.zeros((3, 2, 31, 31), np.uint8)
    maps[2] = 255
    maps[:, :, 15, 15] = [[255], [0], [0]]
    brain = np.ones((2, 31, 31), bool)

    def at(row: int, column: int, *, tolerance: float, doubt: float) -> np.ndarray:
        blurry = blurred(maps, (9.0, 1.0, 2.0), tolerance)
        found = expectation(blurry, brain, doubt=doubt).reshape(2, 31, 31, 3)
        np.testing.assert_allclose(found.sum(axis=-1), 1)
        assert (found > 0).all()
        return np.asarray(found[0, row, column])

    sharp = {"tolerance": 0.0, "doubt": 0.0}
    np.testing.assert_allclose(at(15, 15, **sharp), np.array([1.02, 0.02, 0.02]) / 1.06)
    np.testing.assert_allclose(at(0, 0, **sharp), np.array([0.02, 0.02, 1.02]) / 1.06)
    smooth = {"tolerance": 2.0, "doubt": 0.0}
    same_mm = at(15 + 2, 15, **smooth), at(15, 15 + 1, **smooth)
    np.testing.assert_allclose(*same_mm, atol=1e-3)
    assert 0.01 < at(15, 15, **smooth)[0] - at(0, 0, **smooth)[0] < 0.5
    doubted = at(15, 15, tolerance=0.0, doubt=0.5)
    np.testing.assert_allclose(doubted, np.array([1.02, 0.52, 0.52]) / 2.06)


def test_smoothing_takes_noise_off_and_looks_at_the_brain_alone():
    rng = np.random.default_rng(0)
    brain = np.zeros((6, 20, 20), bool)
    brain[1:5, 4:16, 3:17] = True
    image = np.where(brain, 0.5 + 0.05 * rng.normal(size=brain.shape), 0.0)
    smooth = smoothed(image, brain, 0.2, outside=0.5)
    assert smooth.shape == (brain.sum(),)
    assert smooth.std() < 0.2 * image[brain].std()
    other = np.where(brain, image, rng.random(brain.shape))
    np.testing.assert_array_equal(smoothed(other, brain, 0.2, outside=0.5), smooth)
    np.testing.assert_array_equal(smoothed(image, brain, 0.0, outside=0.5), image[brain])


volumes = arrays(
    np.float64,
    st.tuples(*(st.integers(1, 5),) * 3),
    elements=st.sampled_from([0.0, 0.1, 0.4, 0.5, 1.0]),
)


@given(volumes, st.sampled_from([0.001, 0.02, 0.5]))
def test_smoothing_gives_the_numbers_of_scikit_image(image, weight):
    smooth = total_variation(np.ascontiguousarray(image), weight)
    np.testing.assert_array_equal(smooth, total_variation.plain(image, weight))


def test_smoothing_of_noise_stops_where_scikit_image_stops():
    image = np.random.default_rng(0).random((9, 21, 17))
    for weight in (0.01, 0.1, 1.0):
        smooth = total_variation(image, weight)
        np.testing.assert_array_equal(smooth, total_variation.plain(image, weight))
        less = total_variation(image.astype(np.float32), weight)
        assert less.dtype == np.float32
        np.testing.assert_allclose(less, smooth, atol=2e-6)


def test_a_region_is_kept_where_one_of_its_voxels_is_bright_enough():
    score = np.zeros((3, 9, 9))
    score[1, 1, 1:4] = [2, 4, 2]
    score[2, 1, 3] = 2
    score[1, 5, 5:8] = 2.5
    score[1, 2, 4] = 2  # touches the first at a corner only
    score[0, 7, 1] = 1
    score[0, 7, 2] = 4
    expected = np.zeros(score.shape, bool)
    expected[1, 1, 1:4] = expected[2, 1, 3] = expected[0, 7, 2] = True
    np.testing.assert_array_equal(regions(score, level=1.0, seed=3.0), expected)


def regions(score: np.ndarray, brain: np.ndarray | None = None, **how: float) -> np.ndarray:
    inside = np.ones(score.shape, bool) if brain is None else brain
    plain = {"level": 1.0, "seed": 2.0, "edge": 0.0, "rim": 0.0}
    return bright_regions(score, inside, SPACING, **plain | how)


SPACING = (3.0, 2.0, 1.5)
maps = arrays(np.float64, (3, 6, 7), elements=st.integers(0, 6).map(float))


@given(maps)
def test_without_edge_and_rim_the_regions_are_those_of_scikit_image(score):
    np.testing.assert_array_equal(regions(score), apply_hysteresis_threshold(score, 1.0, 2.0))


@pytest.mark.parametrize("seed", range(5))
def test_a_voxel_of_a_region_has_its_part_of_the_largest_score_around_it(seed):
    rng = np.random.default_rng(seed)
    score = np.where(rng.random((5, 9, 11)) < 0.05, 6.0, rng.integers(1, 4, (5, 9, 11)))
    at = np.argwhere(np.ones(score.shape, bool))
    apart = np.linalg.norm((at[:, None] - at) * SPACING, axis=-1)
    largest = np.where(apart <= REACH_MM, score.ravel(), 0).max(axis=1).reshape(score.shape)
    own = np.where(score >= 0.5 * largest, score, 0)
    np.testing.assert_array_equal(regions(score, edge=0.5), regions(own))


def test_a_region_is_kept_where_half_of_it_is_deep_enough():
    """Beyond the sides of a slice there is no brain; beyond the first and the last, who knows."""
    brain = np.ones((4, 12, 14), bool)
    brain[:, :2] = False
    score = np.zeros(brain.shape)
    score[0, 2, 4:9] = 5  # 2 mm deep
    score[3, 3:6, 11] = 5  # 4, 4.5 and 4.5 mm deep: three columns from the side
    found = regions(score, brain, rim=4.4)
    np.testing.assert_array_equal(np.argwhere(found), [[3, 3, 11], [3, 4, 11], [3, 5, 11]])
    assert not regions(score, brain, rim=4.5).any()
    assert regions(score, brain, rim=1.9).sum() == 8


@given(maps)
def test_filling_is_filling_the_holes_of_every_level_slice_by_slice(score):
    raised = filled(score)
    for level in range(7):
        holes = [binary_fill_holes(one > level, np.ones((3, 3))) for one in score]
        np.testing.assert_array_equal(raised > level, holes)


@given(maps)
def test_filling_gives_the_numbers_of_scikit_image(score):
    framed = np.pad(score, ((0, 0), (1, 1), (1, 1)))
    np.testing.assert_array_equal(_raised(framed), _raised.plain(framed))


def test_what_is_enclosed_by_a_spiral_is_not_raised():
    row, column = np.mgrid[:21, :21] - 10
    way = (np.hypot(row, column) - np.arctan2(row, column) / np.pi) % 2
    framed = np.pad((way > 1.0).astype(float)[None], ((0, 0), (1, 1), (1, 1)))
    np.testing.assert_array_equal(_raised(framed), _raised.plain(framed))


spacings = st.sampled_from([(3.0, 2.0, 1.5), (1.0, 1.0, 1.0), (5.0, 0.5, 1.0)])


@given(arrays(np.bool_, (3, 5, 6)), spacings, st.sampled_from([0.0, 1.0, 3.0, 9.0]))
def test_depth_is_the_distance_to_what_lies_outside_as_far_as_it_is_looked_for(
    brain, spacing, reach
):
    places = np.argwhere(brain)
    framed = np.pad(brain, ((0, 0), (1, 1), (1, 1)))
    whole = distance_transform_edt(framed, sampling=spacing)[:, 1:-1, 1:-1][brain]
    for depth in (_depth, _depth.plain):
        found = depth(brain, places, *_ball(reach, spacing))
        np.testing.assert_allclose(found, np.where(whole <= reach + 1e-9, whole, np.inf))


@given(maps, arrays(np.bool_, (3, 6, 7)), spacings)
def test_compiled_or_not_the_largest_score_around_is_the_same(score, where, spacing):
    steps, _ = _ball(REACH_MM, spacing)
    places = np.argwhere(where)
    np.testing.assert_array_equal(
        _largest_around(score, places, steps), _largest_around.plain(score, places, steps)
    )
