"""Protects: lesions and findings match one to one, so that no blob counts for many lesions."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from uad_bench.evaluation.masks.lesions import OVERLAP, SIZES, match_lesions

MM = (1.0, 1.0, 1.0)
SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6)
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)


def box(*spans, shape=(12, 12, 12)):
    """A mask of boxes, each six numbers: from and to along every axis."""
    mask = np.zeros(shape, np.bool_)
    for z0, z1, y0, y1, x0, x1 in spans:
        mask[z0:z1, y0:y1, x0:x1] = True
    return mask


def components(mask):
    labels, number = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return [labels == label for label in range(1, number + 1)]


def brute(prediction, lesion):
    """The best sum of overlaps over every pairing, with the number of pairs that it takes."""
    lesions, findings = components(lesion), components(prediction)
    table = np.array([[(a & b).sum() / (a | b).sum() for b in findings] for a in lesions])
    table[table < OVERLAP] = 0
    if table.shape[0] > table.shape[1]:
        table = table.T
    best = (0.0, 0)
    for columns in permutations(range(table.shape[1]), table.shape[0]):
        overlaps = table[np.arange(len(columns)), list(columns)]
        best = max(best, (round(float(overlaps.sum()), 12), int((overlaps > 0).sum())))
    return best


def test_lesions_are_components_that_share_a_corner_and_each_has_one_finding():
    lesion = np.zeros((6, 8, 8), np.bool_)
    lesion[0, 0, 0] = lesion[1, 1, 1] = True  # joined by a corner: one lesion
    lesion[4, 4, 4] = True  # found
    lesion[0, 7, 7] = True  # missed
    prediction = np.zeros_like(lesion)
    prediction[1, 1, 1:3] = True  # one of three voxels in common with the first
    prediction[4, 4, 4] = True
    prediction[5, 0, 7] = True  # touches no lesion
    found = match_lesions(prediction, lesion, MM)
    assert (found.lesions, found.findings, found.matched, found.false_findings) == (3, 3, 2, 1)
    assert found.f1 == found.recall() == pytest.approx(2 / 3)
    assert found.panoptic_quality == pytest.approx((1 / 3 + 1) / (2 + 0.5 + 0.5))


def test_a_blob_over_everything_finds_nothing():
    lesion = box((1, 3, 1, 3, 1, 3), (5, 7, 5, 7, 5, 7), (9, 11, 1, 3, 9, 11))
    found = match_lesions(np.ones_like(lesion), lesion, MM)
    assert found.f1 == found.panoptic_quality == found.recall() == 0.0
    assert (found.matched, found.false_findings) == (0, 1)


def test_a_finding_that_joins_two_lesions_counts_once():
    lesion = box((2, 6, 2, 6, 2, 5), (2, 6, 2, 6, 6, 9))
    found = match_lesions(box((2, 6, 2, 6, 2, 9)), lesion, MM)
    assert (found.lesions, found.matched, found.false_findings) == (2, 1, 0)


def test_a_lesion_in_pieces_counts_once_and_the_smaller_piece_is_false():
    lesion = box((2, 6, 2, 6, 2, 10))
    found = match_lesions(box((2, 6, 2, 6, 2, 5), (2, 6, 2, 6, 6, 10)), lesion, MM)
    assert (found.matched, found.false_findings) == (1, 1)
    assert found.overlaps.tolist() == [0.5]


def test_the_overlap_itself_is_enough_and_less_is_not():
    lesion = box((0, 1, 0, 1, 0, 8))
    for width, matched in ((2, 1), (1, 0)):
        found = match_lesions(box((0, 1, 0, 1, 0, width)), lesion, MM)
        assert found.matched == matched, width
    assert OVERLAP == 0.25


def test_without_lesions_only_false_findings_are_counted():
    nothing, one = box(), box((2, 4, 2, 4, 2, 4))
    for prediction, false in ((nothing, 0), (one, 1)):
        found = match_lesions(prediction, nothing, MM)
        assert found.f1 is found.panoptic_quality is found.recall() is None
        assert found.false_findings == false
    silent = match_lesions(nothing, one, MM)
    assert (silent.f1, silent.panoptic_quality, silent.recall()) == (0, 0, 0)


def test_recall_by_size_counts_each_lesion_in_one_class_by_its_volume_in_ml():
    lesion = box((0, 2, 0, 2, 0, 2), (5, 10, 5, 9, 5, 10))  # 8 and 100 voxels
    found = match_lesions(box((0, 2, 0, 2, 0, 2)), lesion, (2.0, 1.5, 1.5))
    assert found.volumes == pytest.approx([0.036, 0.45])
    recalls = {name: found.recall(*limits) for name, limits in SIZES.items()}
    assert recalls == {"small": 1.0, "medium": 0.0, "large": None}
    edges = [0.0, *(below for _, below in SIZES.values())]
    assert [least for least, _ in SIZES.values()] == edges[:-1]
    exact = match_lesions(lesion, lesion, (1.0, 1.0, 1.0))
    assert exact.recall(0.1, 1.0) == 1.0  # 100 voxels of a cubic mm are 0.1 ml: the larger class


@settings(deadline=None)
@given(PAIRS)
def test_the_pairing_is_the_best_of_all(pair):
    prediction, lesion = pair
    found = match_lesions(prediction, lesion, MM)
    lesions, findings = components(lesion), components(prediction)
    assert (found.lesions, found.findings) == (len(lesions), len(findings))
    assert found.volumes == pytest.approx([mask.sum() / 1000 for mask in lesions])
    if lesions and findings and len(lesions) + len(findings) <= 9:
        total, _ = brute(prediction, lesion)
        assert found.overlaps.sum() == pytest.approx(total)
    for overlap in found.overlaps:
        assert overlap == 0 or overlap >= OVERLAP


@given(st.data())
def test_competing_findings_are_paired_as_brute_force_pairs_them(data):
    # Rows of two voxels' height in a common strip: lesions and findings cut it differently.
    shape = (1, 1, 24)
    cuts = [data.draw(st.lists(st.booleans(), min_size=24, max_size=24)) for _ in range(2)]
    prediction, lesion = (np.array(cut).reshape(shape) | (np.arange(24) % 7 > 1) for cut in cuts)
    found = match_lesions(prediction, lesion, MM)
    assert found.overlaps.sum() == pytest.approx(brute(prediction, lesion)[0])


@given(PAIRS)
def test_numbers_follow_from_each_other_and_stay_in_their_ranges(pair):
    prediction, lesion = pair
    found = match_lesions(prediction, lesion, MM)
    assert 0 <= found.matched <= min(found.lesions, found.findings)
    if found.lesions:
        true, false, missed = found.matched, found.false_findings, found.lesions - found.matched
        assert found.f1 == pytest.approx(2 * true / (2 * true + false + missed))
        quality = found.overlaps.sum() / (true + false / 2 + missed / 2)
        assert found.panoptic_quality == pytest.approx(quality)
        assert found.panoptic_quality <= found.f1 + 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_lesions_that_are_many_take_little_time_and_memory(seed):
    rng = np.random.default_rng(seed)
    lesion = rng.random((40, 64, 64)) > 0.99
    found = match_lesions(lesion ^ (rng.random(lesion.shape) > 0.99), lesion, MM)
    assert found.lesions > 1000
    assert found.matched > 0.9 * found.lesions


PANOPTICA = {
    0: (29, 12, 17, 0.39448125136892664),
    1: (17, 4, 6, 0.43257827848795993),
    2: (4, 8, 3, 0.1780433023803077),
    3: (10, 21, 35, 0.1201375217473932),
}
"""TP, FP, FN and panoptic quality by panoptica 2.1.7: cc3d, MaxBipartiteMatching from 0.25 on."""


@pytest.mark.parametrize("seed", PANOPTICA)
def test_matches_and_panoptic_quality_are_those_of_panoptica(seed):
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(14, 24, 24)), 1.0 + seed % 3 * 0.4)
    other = ndimage.gaussian_filter(rng.normal(size=(14, 24, 24)), 1.2)
    field, other = field / field.std(), other / other.std()
    prediction = field + (0.3 + 0.2 * (seed % 4)) * other > 1.2 + 0.1 * (seed % 5)
    found = match_lesions(prediction, field > 1.3, MM)
    *counts, quality = PANOPTICA[seed]
    assert [found.matched, found.false_findings, found.lesions - found.matched] == counts
    assert found.panoptic_quality == pytest.approx(quality, abs=1e-12)
