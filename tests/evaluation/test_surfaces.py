"""Protects: nearest distances are those of all pairs, with and without compiled code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from uad_bench.evaluation.masks import surfaces
from uad_bench.evaluation.masks.surfaces import nearest_distances, surface
from uad_bench.kernels import can_compile

SIZES = st.sampled_from([0.9, 1.0, 1.2, 1.5, 6.5])


@pytest.fixture(
    scope="module", params=["compiled", "plain"] if can_compile() else ["plain"], autouse=True
)
def way(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            patch.setattr(surfaces, "_both_ways", surfaces._both_ways.plain)
        yield request.param


@st.composite
def pairs(draw):
    """Two masks of one shape, empty to full, laid out in memory in any way, and a spacing."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = []
    for _ in range(2):
        share = draw(st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.95, 1.0]))
        order = draw(st.sampled_from("CF"))
        padded = np.asarray(rng.random([2 * side for side in shape]) < share, order=order)
        step = draw(st.sampled_from([1, 2, -1]))
        masks.append(padded[tuple(slice(None, None, step) for _ in shape)])
    shape = tuple(map(min, *(mask.shape for mask in masks)))
    inside = tuple(map(slice, shape))
    return masks[0][inside], masks[1][inside], tuple(draw(SIZES) for _ in shape)


def by_pairs(one, other, spacing):
    """Both ways from every pair; the squares are added from the last axis to the first."""
    ends = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) for mask in (one, other)]
    steps = (ends[0][:, None] - ends[1][None]) * np.array(spacing)
    squares = np.zeros(steps.shape[:2])
    for axis in reversed(range(one.ndim)):
        squares = squares + steps[..., axis] ** 2
    return tuple(np.sqrt(squares.min(axis=axis, initial=np.inf)) for axis in (1, 0))


def assert_right(one, other, spacing, way):
    for found, expected in zip(
        nearest_distances(one, other, spacing), by_pairs(one, other, spacing), strict=True
    ):
        assert found.dtype == np.float64
        if way == "compiled" or all(size * 4 % 1 == 0 for size in spacing):
            assert np.array_equal(np.sort(found), np.sort(expected))
        else:
            np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-12)


@given(pairs())
def test_distances_are_those_of_all_pairs(way, case):
    assert_right(*case, way)


@pytest.mark.parametrize("axis", range(3))
def test_masks_at_the_far_ends_of_a_volume_are_as_far_apart_as_they_are(way, axis):
    shape = [9, 9, 9]
    shape[axis] = 90
    rng = np.random.default_rng(axis)
    noise = rng.random(shape) < 0.5
    place = np.arange(90).reshape([-1 if one == axis else 1 for one in range(3)])
    assert_right(noise & (place < 8), noise & (place > 75), (1.0, 1.2, 0.9), way)
    assert_right(noise & (abs(place - 45) > 37), noise & (place == 45), (1.0, 1.2, 0.9), way)


def test_one_voxel_is_measured_against_a_full_array(way):
    full, one = np.ones((7, 40, 30), np.bool_), np.zeros((7, 40, 30), np.bool_)
    one[3, 0, 29] = True
    assert_right(full, one, (2.0, 1.5, 1.5), way)
    one[3, 0, 29], one[3, 20, 15] = False, True
    assert_right(one, full, (2.0, 1.5, 1.5), way)


def test_an_empty_mask_is_infinitely_far(way):
    some, none = np.eye(4, 5, dtype=np.bool_), np.zeros((4, 5), np.bool_)
    forth, back = nearest_distances(some, none, (1.0, 1.0))
    assert (forth == np.inf).all()
    assert (len(forth), len(back)) == (4, 0)
    assert [len(one) for one in nearest_distances(none, none, (1.0, 1.0))] == [0, 0]


def test_files_mapped_into_memory_are_read_and_nothing_is_compiled_for_them(way, tmp_path):
    mask = np.eye(4, 5, dtype=np.bool_)
    (tmp_path / "mask").write_bytes(mask.tobytes())
    mapped = np.memmap(tmp_path / "mask", np.bool_, "r", shape=mask.shape)
    for kind in (mapped, mapped.T.copy().T, mask):
        assert nearest_distances(kind, mask, (1.0, 1.0))[0].tolist() == [0.0] * 4
    if way == "compiled":
        assert len(surfaces._both_ways._machine_code.signatures) == 1


@given(pairs())
def test_the_surface_is_what_erosion_takes_away(way, case):
    mask = case[0]
    assert np.array_equal(surface(mask), mask & ~ndimage.binary_erosion(mask))
