"""Protects: each post-processing is what scipy or brute force makes, alone and in a chain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import BrainSlices, PostProcessing
from uad_bench.evaluation.postprocessings import min_size
from uad_bench.evaluation.postprocessings.calibrated import CALIBRATED
from uad_bench.evaluation.postprocessings.erode import ERODE
from uad_bench.evaluation.postprocessings.median3d import MEDIAN3D
from uad_bench.evaluation.postprocessings.min_size import MIN_SIZE
from uad_bench.evaluation.postprocessings.none import NONE
from uad_bench.evaluation.postprocessings.prior_quantile import PRIOR_QUANTILE
from uad_bench.evaluation.postprocessings.star import STAR, _smooth, median_3x3, smoothed_excess
from uad_bench.evaluation.scores.histograms import quantise
from uad_bench.kernels import can_compile
from uad_bench.plugins.conformance import check_postprocessing
from uad_bench.plugins.registry import discover

RESIDUALS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.floats(-1, 1, width=32),
)


SPACING = (2.0, 1.5, 1.0)
CORNERS = np.ones((3, 3, 3))
REGISTRY = discover()
OTHERS = [CALIBRATED, ERODE, MEDIAN3D, PRIOR_QUANTILE, MIN_SIZE]


def bits(values):
    return np.ascontiguousarray(values).view(np.uint32)


def on(residual, z=None, brain=None):
    """What a post-processing is told of the slices of a residual."""
    inside = np.ones(residual.shape, bool) if brain is None else brain
    return BrainSlices(inside, np.arange(len(residual)) if z is None else np.array(z), SPACING)


def applied(postprocessing, residual, **where):
    return postprocessing.apply(residual, on(residual, **where))


def steps(values):
    """Few levels, so that many voxels are equal."""
    return hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=6),
        elements=st.sampled_from(np.float32(values)),
    )


@given(RESIDUALS)
def test_none_is_the_absolute_residual(residual):
    assert np.array_equal(bits(applied(NONE, residual)), bits(np.abs(residual)))


@given(RESIDUALS)
def test_star_is_scipys_median_of_the_positive_residual_bit_for_bit(residual):
    positive = np.where(residual > 0, residual, np.float32(0))
    expected = ndimage.median_filter(positive, size=(1, 3, 3), mode="nearest")
    found = applied(STAR, residual)
    assert found.dtype == np.float32
    assert np.array_equal(bits(found), bits(expected))


@given(RESIDUALS, st.sampled_from(["<f4", ">f4"]))
def test_star_without_compiled_code_and_in_any_layout_is_the_same(residual, kind):
    plain = np.empty_like(residual)
    assert _smooth.plain(residual, plain)
    assert np.array_equal(bits(applied(STAR, residual)), bits(plain))
    turned = residual.astype(kind).transpose(0, 2, 1)
    assert np.array_equal(bits(applied(STAR, turned)), bits(plain.transpose(0, 2, 1)))


@pytest.mark.skipif(not can_compile(), reason="nothing is compiled here")
def test_a_residual_that_must_not_be_written_is_not_compiled_for():
    residual = np.random.default_rng(0).uniform(-1, 1, (2, 5, 6)).astype(np.float32)
    found = smoothed_excess(residual)
    residual.flags.writeable = False
    assert np.array_equal(smoothed_excess(residual), found)
    assert len(_smooth._machine_code.signatures) == 1


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.floats(-1, 1, width=32) | st.just(np.nan),
    )
)
def test_a_pixel_is_nan_where_a_neighbour_is(residual):
    count, height, width = residual.shape
    found = smoothed_excess(residual)
    for at, row, x in np.ndindex(count, height, width):
        near = residual[at, max(row - 1, 0) : row + 2, max(x - 1, 0) : x + 2]
        assert np.isnan(found[at, row, x]) == np.isnan(near).any()


def test_star_of_a_whole_scan_is_scipys():
    residual = np.random.default_rng(0).uniform(-1, 1, (4, 128, 128)).astype(np.float32)
    expected = ndimage.median_filter(np.maximum(residual, 0), size=(1, 3, 3), mode="nearest")
    assert np.array_equal(bits(applied(STAR, residual)), bits(expected))


def test_the_median_stays_within_a_slice():
    slices = np.zeros((3, 5, 5), np.float32)
    slices[1] = 1.0
    assert np.array_equal(median_3x3(slices), slices)
    assert not np.array_equal(ndimage.median_filter(slices, size=3, mode="nearest"), slices)


@pytest.mark.parametrize("postprocessing", [NONE, STAR, *OTHERS], ids=lambda one: one.name)
def test_nan_is_never_smoothed_away(postprocessing):
    residual = np.zeros((1, 5, 5), np.float32)
    residual[0, 2, 2] = np.nan
    with pytest.raises(UadBenchError, match="was given values that are not finite"):
        applied(postprocessing, residual)


@given(RESIDUALS)
def test_the_residual_is_left_as_it_was_and_the_map_is_a_score(residual):
    before = residual.copy()
    for postprocessing in (NONE, STAR, *OTHERS):
        quantise(applied(postprocessing, residual))
    assert np.array_equal(bits(residual), bits(before))


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda residual, _: residual[:1], r"the shape \(1, 4, 4\) for a residual of \(2, 4, 4\)"),
        (lambda residual, _: residual, r"values from -0.5 to -0.5, not in \[0, 1\]"),
        (lambda residual, _: residual / 0.25, r"values from -2 to -2, not in"),
    ],
)
def test_what_is_no_anomaly_map_is_one_line_that_names_the_post_processing(make, fault):
    broken = PostProcessing(name="broken", version=1, mark="", caption="", make=make)
    with pytest.raises(UadBenchError, match=f"post-processing broken returned {fault}"):
        applied(broken, np.full((2, 4, 4), -0.5, np.float32))


def brute_force_opening(values, least):
    """The highest level at which the component of a voxel has the size; 0 where none has."""
    opened = np.zeros_like(values)
    for level in np.unique(values[values > 0]):  # rising, so that the highest is kept
        labels, _ = ndimage.label(values >= level, CORNERS)
        large = np.bincount(labels.ravel()) >= least
        large[0] = False
        opened[large[labels]] = level
    return opened


@given(steps([-0.7, 0, 0.1, 0.4, 0.9]), st.integers(1, 90))
def test_min_size_keeps_at_every_threshold_the_components_that_are_large_enough(residual, mm3):
    found = applied(MIN_SIZE.with_number(str(mm3)), residual)
    assert np.array_equal(found, brute_force_opening(np.abs(residual), mm3 / np.prod(SPACING)))


@given(steps([0, 0.1, 0.4, 0.40001, 0.9]))
def test_min_size_of_scores_is_the_scores_of_min_size(residual):
    levels = quantise(residual)
    found = quantise(applied(MIN_SIZE, residual))
    assert np.array_equal(found, quantise(applied(MIN_SIZE, levels / np.float32(65535))))


@pytest.mark.parametrize("postprocessing", [NONE, STAR, *OTHERS], ids=lambda one: one.name)
def test_the_order_of_voxels_in_memory_changes_nothing(postprocessing):
    residual = np.random.default_rng(2).choice(
        np.float32([0, -0.3, 0.8]), (5, 8, 9), p=[0.8, 0.1, 0.1]
    )
    expected = applied(postprocessing, residual)
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(residual, 0, -1)), -1, 0)
    for other in (np.asfortranarray(residual), turned):
        assert np.array_equal(applied(postprocessing, other), expected)


def test_min_size_without_compiled_code_is_the_same(monkeypatch):
    residual = np.random.default_rng(0).choice(
        np.float32([0, 0.2, 0.5]), (4, 9, 8), p=[0.7, 0.2, 0.1]
    )
    expected = applied(MIN_SIZE, residual)
    monkeypatch.setattr(min_size, "_open", min_size._open.plain)
    assert np.array_equal(applied(MIN_SIZE, residual), expected)


@given(hnp.arrays(bool, (3, 5, 6)), st.sampled_from([0.5, 1, 1.6, 2.5, 4]))
def test_erode_keeps_what_is_farther_than_that_from_every_voxel_outside(brain, mm):
    residual = np.full(brain.shape, -0.5, np.float32)
    found = applied(ERODE.with_number(str(mm)), residual, brain=brain)
    padded = np.pad(brain, 2)  # beyond the first and the last slice is outside
    outside = np.argwhere(~padded) * SPACING
    for at in np.ndindex(brain.shape):
        here = (np.array(at) + 2) * SPACING
        nearest = np.sqrt(((outside - here) ** 2).sum(axis=1)).min()
        assert (found[at] == 0.5) == (nearest > mm)


@given(RESIDUALS, st.sampled_from([3, 5]))
def test_median3d_is_the_median_of_every_cube(residual, side):
    found = applied(MEDIAN3D.with_number(str(side)), residual)
    padded = np.pad(np.abs(residual), side // 2)
    cubes = np.lib.stride_tricks.sliding_window_view(padded, (side,) * 3)
    assert np.array_equal(found, np.median(cubes, axis=(3, 4, 5)))


@given(RESIDUALS, st.sampled_from([0.1, 0.5, 0.9]))
def test_prior_quantile_keeps_the_upper_share_as_it_was(residual, share):
    found, plain = applied(PRIOR_QUANTILE.with_number(str(share)), residual), np.abs(residual)
    kept = found == plain
    assert (found[~kept] == 0).all()
    assert kept.sum() >= (1 - share) * residual.size - 1
    if (~kept).any():
        assert plain[~kept].max() < plain[kept].max()


@pytest.mark.parametrize(
    "postprocessing",
    [MEDIAN3D.with_number("3"), MIN_SIZE, ERODE.with_number("1.2")],
    ids=lambda one: one.name,
)
def test_a_slice_that_is_missing_in_between_counts_as_empty(postprocessing):
    rng = np.random.default_rng(1)
    residual = rng.choice(np.float32([0, 0.3, 0.8]), (3, 7, 7), p=[0.1, 0.5, 0.4])
    with_gap = np.insert(residual, 2, 0, axis=0)
    brain = np.ones(with_gap.shape, bool)
    brain[2] = False
    found = applied(postprocessing, residual, z=[4, 5, 7])
    whole = applied(postprocessing, with_gap, brain=brain)
    assert np.array_equal(found, whole[[0, 1, 3]])
    assert found.any()


@given(RESIDUALS)
def test_calibrated_changes_no_order_within_a_scan(residual):
    found, plain = applied(CALIBRATED, residual).ravel(), np.abs(residual).ravel()
    assert (np.diff(found[np.argsort(plain, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("gain", [0.25, 0.6])
def test_calibrated_scores_are_those_of_a_scanner_with_another_gain(gain):
    residual = np.random.default_rng(0).gamma(2, 0.03, (6, 20, 20)).clip(0, 1).astype(np.float32)
    found = applied(CALIBRATED, residual)
    assert applied(CALIBRATED, np.float32(gain) * residual) == pytest.approx(found, abs=1e-6)
    unit = np.quantile(residual, 0.85)
    assert found == pytest.approx(residual / (residual + 4 * unit), abs=1e-6)


def test_calibrated_looks_at_the_brain_alone_and_needs_a_bulk():
    rng = np.random.default_rng(0)
    residual = rng.gamma(2, 0.03, (6, 20, 20)).clip(0, 1).astype(np.float32)
    brain = np.zeros(residual.shape, bool)
    brain[:, 5:15, 5:15] = True
    other = np.where(brain, residual, np.float32(0.9))
    inside = applied(CALIBRATED, residual, brain=brain)[brain]
    assert np.array_equal(applied(CALIBRATED, other, brain=brain)[brain], inside)
    few = np.where(rng.random(residual.shape) < 0.1, residual, np.float32(0))
    assert np.array_equal(applied(CALIBRATED, few), few)


@given(RESIDUALS)
def test_a_chain_is_one_step_after_the_other(residual):
    chain = REGISTRY.postprocessing("star+min-size=10+median3d=3")
    first = applied(STAR, residual)
    second = applied(MIN_SIZE.with_number("10"), first)
    assert np.array_equal(applied(chain, residual), applied(MEDIAN3D.with_number("3"), second))


def test_a_chain_says_in_a_table_what_it_is():
    chain = REGISTRY.postprocessing("star+erode=2.50")
    assert (chain.name, chain.mark, chain.version) == ("star+erode=2.5", "* erode=2.5", 2)
    assert chain.explanation == (
        "positive residual and median filter of size 3, then no score near the edge of the brain, "
        "2.5 mm"
    )


def test_a_number_that_is_the_default_makes_no_other_post_processing():
    found = REGISTRY.postprocessings(["median3d=5", "median3d", "star", "none", "median3d=3"])
    assert [one.name for one in found] == ["none", "median3d", "median3d=3", "star"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("star=3", "post-processing star=3: star takes no number"),
        ("erode=wide", "post-processing erode=wide: write a number from 0.5 to 30 (mm)"),
        ("erode=nan", "post-processing erode=nan: write a number from 0.5 to 30 (mm)"),
        ("median3d=4", "median3d=4: write an odd number from 3 to 9 (voxels a side)"),
        ("none+star", "post-processing none+star: none cannot be a step of a chain"),
        ("star+erod", "Unknown post-processing 'erod'. Did you mean 'erode'?"),
        ("star+", "post-processing star+: a + joins two names; one is missing"),
        ("star+erode=2+star", "post-processing star+erode=2+star: star is in it twice; keep one"),
        ("erode=2+erode=3", "erode is in it twice; keep one"),
        (
            "star+erode=2.25+median3d=5+min-size=12.25+prior-quantile=0.9125",
            "61 characters, and 60 are the most",
        ),
    ],
)
def test_what_is_no_post_processing_is_one_line(name, line):
    with pytest.raises(UadBenchError) as told:
        REGISTRY.postprocessing(name)
    assert line in str(told.value)


def test_all_that_are_none_are_told_at_once():
    with pytest.raises(UadBenchError) as told:
        REGISTRY.postprocessings(["star=3", "none", "stra"])
    assert "star takes no number" in str(told.value)
    assert "Unknown post-processing 'stra'" in str(told.value)


@pytest.mark.parametrize("name", REGISTRY.names("post-processing"))
def test_every_built_in_one_keeps_the_rules(name):
    assert check_postprocessing(REGISTRY.postprocessing(name)) == []
