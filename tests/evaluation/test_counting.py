"""Protects: compiled loops and plain ones count and round as their slow definitions do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores import histograms
from uad_bench.evaluation.scores.counting import count_into, round_to_levels
from uad_bench.evaluation.scores.histograms import LEVELS, ScoreHistogram, quantise
from uad_bench.kernels import can_compile

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7)
FLOATS = ("<f2", "<f4", ">f4", "<f8", ">f8")
FEW = st.sampled_from([0, 0, 0, 1, 2, 300, LEVELS - 1])


@st.composite
def scans(draw):
    """Scores, kinds and domain of one shape, in any layout and byte order."""
    shape = draw(SHAPES)
    scores = draw(hnp.arrays(draw(st.sampled_from(["<u2", ">u2"])), shape, elements=FEW))
    kinds = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 2)))
    domain = draw(st.none() | hnp.arrays(np.bool_, shape))
    if draw(st.booleans()):
        scores, kinds = scores.T, np.asfortranarray(kinds.T)
        domain = None if domain is None else domain.T
    step = draw(st.sampled_from([1, 2, -1]))
    return tuple(one if one is None else one[::step] for one in (scores, kinds, domain))


@pytest.fixture(params=["compiled", "plain"])
def loops(request, monkeypatch):
    """Take the compiled loops, or the plain ones."""
    if request.param == "plain":
        monkeypatch.setattr(histograms, "count_into", count_into.plain)
        monkeypatch.setattr(histograms, "round_to_levels", round_to_levels.plain)


@pytest.fixture(params=[3, 1 << 20])
def part(request, monkeypatch):
    """Count so many voxels at once."""
    monkeypatch.setattr(histograms, "_PART", request.param)


@pytest.mark.usefixtures("loops", "part")
@given(scan=scans())
def test_a_histogram_holds_every_voxel_once(scan):
    scores, kinds, domain = scan
    found = ScoreHistogram.of(scores, kinds, domain)
    inside = np.ones(scores.shape, bool) if domain is None else domain
    for tally, kind in ((found.healthy, 0), (found.lesion, 1)):
        by_hand = np.zeros(LEVELS, np.int64)
        for at in np.ndindex(scores.shape):
            by_hand[scores[at]] += inside[at] and kinds[at] == kind
        assert np.array_equal(tally.dense(), by_hand)
        assert tally.voxels == by_hand.sum()
        assert (tally.counts > 0).all()


@pytest.mark.parametrize("loops", [count_into, count_into.plain])
def test_a_table_for_more_voxels_than_32_bits_hold_counts_the_same(loops):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, LEVELS, 999).astype(np.uint16)
    kinds = rng.integers(0, 3, 999).astype(np.uint8)
    narrow, wide = (np.zeros((4, LEVELS, 2), kind) for kind in (np.uint32, np.int64))
    assert loops(scores, kinds, None, narrow) == loops(scores, kinds, None, wide) == 3
    assert np.array_equal(narrow.sum(axis=-1), wide.sum(axis=-1))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("value", [3, 4, 7, 255])
@pytest.mark.parametrize("inside", [False, True])
def test_another_kind_is_refused_inside_the_domain_and_outside(value, inside):
    kinds = np.array([0, 1, value, 2], np.uint8)
    domain = np.array([True, True, inside, True])
    with pytest.raises(UadBenchError, match=f"value {value}"):
        ScoreHistogram.of(np.zeros(4, np.uint16), kinds, domain)


@pytest.mark.usefixtures("loops")
@given(st.sampled_from(FLOATS), st.data())
def test_scores_are_rounded_half_to_even_in_double_precision(kind, data):
    shape = data.draw(SHAPES)
    near_half = st.integers(0, LEVELS - 2).map(lambda level: (level + 0.5) / (LEVELS - 1))
    values = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1) | near_half))
    values = values.astype(kind).T
    exact = np.asarray(values, np.float64) * (LEVELS - 1)
    found = quantise(values)
    assert found.dtype == np.uint16
    assert found.shape == values.shape
    assert np.array_equal(found, np.round(exact).astype(np.int64))


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -0.001, 1.001])
@pytest.mark.parametrize("at", [0, 5, 36])
def test_one_bad_value_anywhere_is_refused(kind, bad, at):
    values = np.zeros(37, kind)
    values[at] = bad
    with pytest.raises(UadBenchError, match="outside"):
        quantise(values)


@pytest.mark.usefixtures("loops")
@given(st.sampled_from(FLOATS), scans())
def test_a_map_is_counted_as_its_scores_are(kind, scan):
    scores, kinds, domain = scan
    anomaly = (scores / (LEVELS - 1)).astype(kind)
    found = ScoreHistogram.of(anomaly, kinds, domain)
    expected = ScoreHistogram.of(quantise(anomaly), kinds, domain)
    assert np.array_equal(found.healthy.dense(), expected.healthy.dense())
    assert np.array_equal(found.lesion.dense(), expected.lesion.dense())


@pytest.mark.usefixtures("loops")
def test_a_map_outside_the_range_is_refused_where_it_is_counted():
    with pytest.raises(UadBenchError, match=r"outside \[0, 1\]"):
        ScoreHistogram.of(np.array([0.5, np.nan]), np.zeros(2, np.uint8))


@pytest.mark.skipif(not can_compile(), reason="nothing is compiled here")
def test_a_map_in_a_file_is_not_compiled_for(tmp_path):
    values = np.zeros(9, np.float32)
    (tmp_path / "map").write_bytes(values.tobytes())
    before = quantise(values), len(round_to_levels._machine_code.signatures)
    found = quantise(np.memmap(tmp_path / "map", np.float32, "r"))
    assert np.array_equal(found, before[0])
    assert len(round_to_levels._machine_code.signatures) == before[1]


@pytest.mark.usefixtures("loops")
def test_a_negative_zero_is_a_zero():
    assert not quantise(np.array([-0.0, 0.0], np.float32)).any()
