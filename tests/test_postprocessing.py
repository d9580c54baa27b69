"""Protects: both post-processings are what the paper and scipy say, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.histograms import quantise
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.postprocessings.none import NONE
from uad_bench.evaluation.postprocessings.star import STAR, _smooth, median_3x3, smoothed_excess
from uad_bench.kernels import can_compile

RESIDUALS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.floats(-1, 1, width=32),
)


def bits(values):
    return np.ascontiguousarray(values).view(np.uint32)


@given(RESIDUALS)
def test_none_is_the_absolute_residual(residual):
    assert np.array_equal(bits(NONE.apply(residual)), bits(np.abs(residual)))


@given(RESIDUALS)
def test_star_is_scipys_median_of_the_positive_residual_bit_for_bit(residual):
    positive = np.where(residual > 0, residual, np.float32(0))
    expected = ndimage.median_filter(positive, size=(1, 3, 3), mode="nearest")
    found = STAR.apply(residual)
    assert found.dtype == np.float32
    assert np.array_equal(bits(found), bits(expected))


@given(RESIDUALS, st.sampled_from(["<f4", ">f4"]))
def test_star_without_compiled_code_and_in_any_layout_is_the_same(residual, kind):
    plain = np.empty_like(residual)
    assert _smooth.plain(residual, plain)
    assert np.array_equal(bits(STAR.apply(residual)), bits(plain))
    turned = residual.astype(kind).transpose(0, 2, 1)
    assert np.array_equal(bits(STAR.apply(turned)), bits(plain.transpose(0, 2, 1)))


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
    assert np.array_equal(bits(STAR.apply(residual)), bits(expected))


def test_the_median_stays_within_a_slice():
    slices = np.zeros((3, 5, 5), np.float32)
    slices[1] = 1.0
    assert np.array_equal(median_3x3(slices), slices)
    assert not np.array_equal(ndimage.median_filter(slices, size=3, mode="nearest"), slices)


@pytest.mark.parametrize("postprocessing", [NONE, STAR], ids=lambda one: one.name)
def test_nan_is_never_smoothed_away(postprocessing):
    residual = np.zeros((1, 5, 5), np.float32)
    residual[0, 2, 2] = np.nan
    with pytest.raises(UadBenchError, match="returned values that are not finite"):
        postprocessing.apply(residual)


@given(RESIDUALS)
def test_the_residual_is_left_as_it_was_and_the_map_is_a_score(residual):
    before = residual.copy()
    for postprocessing in (NONE, STAR):
        quantise(postprocessing.apply(residual))
    assert np.array_equal(bits(residual), bits(before))


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda residual: residual[:1], r"the shape \(1, 4, 4\) for a residual of \(2, 4, 4\)"),
        (lambda residual: residual, r"values from -0.5 to -0.5, not in \[0, 1\]"),
        (lambda residual: residual / 0.25, r"values from -2 to -2, not in"),
    ],
)
def test_what_is_no_anomaly_map_is_one_line_that_names_the_post_processing(make, fault):
    broken = PostProcessing(name="broken", version=1, mark="", caption="", make=make)
    with pytest.raises(UadBenchError, match=f"post-processing broken returned {fault}"):
        broken.apply(np.full((2, 4, 4), -0.5, np.float32))
