"""Protects: pooled statistics under weights are those of subjects pooled so many times by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uad_bench.evaluation.scores import pooling
from uad_bench.evaluation.scores.histograms import ScoreHistogram, average_precision, max_dice
from uad_bench.evaluation.scores.pooling import pooled_statistics

VOXELS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 5, 9, 65535]), st.integers(0, 2)), max_size=12
)


def histogram(voxels):
    scores, kinds = np.array(voxels, np.int64).reshape(-1, 2).T
    return ScoreHistogram.of(scores.astype(np.uint16), kinds.astype(np.uint8))


@st.composite
def draws(draw):
    subjects = [histogram(one) for one in draw(st.lists(VOXELS, min_size=1, max_size=5))]
    shape = (draw(st.integers(0, 7)), len(subjects))
    kind = draw(st.sampled_from([np.int8, np.uint8, np.int64]))
    return subjects, draw(hnp.arrays(kind, shape, elements=st.integers(0, 3)))


@pytest.fixture(params=[2, 64])
def at_once(request, monkeypatch):
    """Pool so many draws at once."""
    monkeypatch.setattr(pooling, "_DRAWS", request.param)


@pytest.mark.usefixtures("at_once")
@settings(deadline=None)
@given(draws())
def test_each_draw_is_pooled_as_by_hand(drawn):
    subjects, weights = drawn
    found = pooled_statistics(subjects, weights)
    assert found.shape == (len(weights), 2)
    for (precision, dice), times in zip(found, weights, strict=True):
        repeated = [one for one, count in zip(subjects, times, strict=True) for _ in range(count)]
        pool = ScoreHistogram.pooled(repeated)
        if not pool.lesion_voxels:
            assert np.isnan([precision, dice]).all()
            continue
        assert precision == pytest.approx(average_precision(pool), abs=1e-12)
        assert dice == pytest.approx(max_dice(pool)[0], abs=1e-12)
