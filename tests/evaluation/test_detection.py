"""Protects: detection per patient is scikit-learn's, of scores that no label can change."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from uad_bench.evaluation.scores.histograms import LEVELS, ScoreHistogram
from uad_bench.evaluation.statistics.detection import FALSE_ALARMS, Person, detect, patient_score
from uad_bench.evaluation.statistics.intervals import auroc_interval

GROUP = st.lists(st.integers(0, 12), min_size=1, max_size=25)
"""Scores with many ties."""


def people(patients, healthy):
    both = (
        [Person(one / 12, False) for one in patients],
        [Person(one / 12, True) for one in healthy],
    )
    return [*both[0], *both[1]]


@given(GROUP, GROUP)
def test_areas_are_those_of_scikit_learn(patients, healthy):
    found = detect(people(patients, healthy))
    truth = [1] * len(patients) + [0] * len(healthy)
    scores = np.array([*patients, *healthy]) / 12
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found.auprc == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    assert found.prevalence == len(patients) / len(truth)
    assert (found.patients, found.healthy) == (len(patients), len(healthy))


@given(GROUP, GROUP)
def test_sensitivity_is_the_roc_curves_at_one_false_alarm_in_ten(patients, healthy):
    truth = [1] * len(patients) + [0] * len(healthy)
    scores = np.array([*patients, *healthy]) / 12
    alarms, sensitivity, _ = roc_curve(truth, scores, drop_intermediate=False)
    expected = sensitivity[alarms <= FALSE_ALARMS + 1e-12].max()
    assert detect(people(patients, healthy)).sensitivity == pytest.approx(expected)


@given(GROUP, GROUP)
def test_a_higher_score_of_a_patient_never_lowers_and_of_a_healthy_person_never_raises(
    patients, healthy
):
    before = detect(people(patients, healthy))
    sicker = detect(people([patients[0] + 3, *patients[1:]], healthy))
    louder = detect(people(patients, [healthy[0] + 3, *healthy[1:]]))
    for name in ("auroc", "sensitivity"):
        assert getattr(sicker, name) >= getattr(before, name) - 1e-12
        assert getattr(louder, name) <= getattr(before, name) + 1e-12


@pytest.mark.parametrize("healthy", [True, False])
def test_one_group_alone_has_no_detection(healthy):
    assert detect([Person(0.5, healthy), Person(0.7, healthy)]) is None
    assert detect([]) is None


@given(st.integers(1, 700), st.integers(0, 99))
def test_the_patient_score_is_the_mean_of_the_highest_percent(voxels, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 40, voxels).astype(np.uint16) * 1500
    highest = np.sort(scores)[::-1][: ceil(voxels / 100)]
    found = patient_score(ScoreHistogram.of(scores, np.zeros(voxels, np.uint8)))
    assert found == pytest.approx(highest.mean() / (LEVELS - 1), abs=1e-12)
    labelled = ScoreHistogram.of(scores, (rng.random(voxels) < 0.2).astype(np.uint8))
    assert patient_score(labelled) == found


@given(st.integers(1, 700), st.integers(0, 300), st.integers(0, 99))
def test_lesion_voxels_outside_the_brain_change_no_patient_score(voxels, outside, seed):
    scores = np.random.default_rng(seed).integers(0, LEVELS, voxels).astype(np.uint16)
    inside = ScoreHistogram.of(scores, np.zeros(voxels, np.uint8))
    lost = ScoreHistogram.of(np.zeros(outside, np.uint16), np.ones(outside, np.uint8))
    assert patient_score(ScoreHistogram.pooled([inside, lost]), outside) == patient_score(inside)


def test_a_scan_without_a_voxel_has_no_score():
    assert patient_score(ScoreHistogram.pooled([])) is None


@given(st.integers(4, 40), st.integers(4, 40), st.floats(0, 1))
def test_an_area_is_inside_its_interval_which_mirrors(patients, healthy, area):
    found = auroc_interval(area, patients, healthy)
    assert 0 <= found.low <= area <= found.high <= 1
    assert found.high - found.low > 0.01
    mirrored = auroc_interval(1 - area, patients, healthy)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-6)


@pytest.mark.parametrize("area", [0.6, 0.9, 1.0])
def test_the_ends_are_the_areas_whose_own_error_reaches_the_estimate(area):
    found = auroc_interval(area, 6, 10)
    for end in (found.low, found.high):
        if end in (0.0, 1.0):
            continue
        first, second = end / (2 - end), 2 * end**2 / (1 + end)
        # Hanley and McNeil's variance with both numerators at the mean of the group sizes.
        within = 7 * ((first - end**2) + (second - end**2)) + end * (1 - end)
        assert abs(area - end) == pytest.approx(1.959964 * np.sqrt(within / 60), rel=1e-5)


def test_fewer_than_four_people_in_a_group_have_no_interval():
    assert auroc_interval(0.8, 3, 50) is auroc_interval(0.8, 50, 3) is None


@pytest.mark.parametrize("sizes", [(4, 4), (10, 6)])
def test_between_90_and_98_percent_of_auroc_intervals_hold_the_truth(sizes):
    rng = np.random.default_rng(1)
    patients, healthy = rng.normal(1, 1, (1000, sizes[0])), rng.normal(0, 1, (1000, sizes[1]))
    true = 0.7602  # of two normal distributions one standard deviation apart
    areas = (patients[:, :, None] > healthy[:, None]).mean(axis=(1, 2))
    found = [auroc_interval(float(area), *sizes) for area in areas]
    assert 0.90 <= np.mean([one.low <= true <= one.high for one in found]) <= 0.98
