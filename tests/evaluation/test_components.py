"""Protects: components are scipy's, in its order, and shared voxels add up, compiled or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from uad_bench.evaluation.masks import components
from uad_bench.evaluation.masks.components import Components
from uad_bench.kernels import can_compile


@pytest.fixture(
    scope="module", params=["compiled", "plain"] if can_compile() else ["plain"], autouse=True
)
def way(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            patch.setattr(components, "_numbered_runs", components._numbered_runs.plain)
            patch.setattr(components, "_shared", components._shared.plain)
        yield request.param


@st.composite
def pairs(draw):
    """Two masks of one shape, empty to full, laid out in memory in any way."""
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    masks = []
    for _ in range(2):
        share = draw(st.sampled_from([0.0, 0.05, 0.2, 0.5, 0.9, 1.0]))
        padded = np.asarray(rng.random((*shape, 2)) < share, order=draw(st.sampled_from("CF")))
        masks.append(padded[..., draw(st.integers(0, 1))])
        masks[-1].flags.writeable = draw(st.booleans())
    return masks


def painted(mask, found):
    """The labels that the runs stand for."""
    labels = np.zeros(mask.size, np.int64)
    for (start, stop), number in zip(found.runs, found.numbers, strict=True):
        assert not labels[start:stop].any()
        labels[start:stop] = number + 1
    return labels.reshape(mask.shape)


@given(pairs())
@settings(max_examples=200)
def test_components_are_those_of_scipy_in_the_same_order(way, masks):
    labels, count = ndimage.label(masks[0], np.ones((3, 3, 3)))
    found = Components.of(masks[0])
    assert np.array_equal(painted(masks[0], found), labels)
    assert found.sizes.tolist() == [(labels == number + 1).sum() for number in range(count)]


@given(pairs())
def test_shared_voxels_are_those_of_the_labels(way, masks):
    first, second = (Components.of(mask) for mask in masks)
    labels = [ndimage.label(mask, np.ones((3, 3, 3)))[0] for mask in masks]
    table = np.zeros((len(first.sizes), len(second.sizes)), np.int64)
    for one, other, voxels in first.shared(second):
        assert voxels > 0
        table[one, other] += voxels
    for one, other in np.ndindex(table.shape):
        assert table[one, other] == ((labels[0] == one + 1) & (labels[1] == other + 1)).sum()


def test_runs_end_with_their_row(way):
    found = Components.of(np.ones((2, 2, 3), np.bool_))
    assert found.runs.tolist() == [[0, 3], [3, 6], [6, 9], [9, 12]]
    assert found.sizes.tolist() == [12]


def test_a_spiral_is_one_component_however_late_its_arms_meet(way):
    mask = np.zeros((1, 9, 9), np.bool_)
    mask[0, ::2] = True  # rows that only the last columns join, alternately
    mask[0, 1::4, -1] = mask[0, 3::4, 0] = True
    assert Components.of(mask).sizes.tolist() == [mask.sum()]
