"""A scan or a person without lesion is counted, and improves nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scored_scans import SHAPE, SPACING, kept, make_scan, run
from sklearn.metrics import average_precision_score, roc_auc_score

from uad_bench.evaluation.masks.hausdorff import box_diagonal
from uad_bench.evaluation.scores.histograms import LEVELS, threshold_at_fpr

FALSE_POSITIVES = {"fpr", "false_findings"}
"""What a scan without lesion enters."""


def predicted(scan, result):
    """The voxels that are predicted at the threshold of a result."""
    threshold = round(result.thresholds["fpr1"] * (LEVELS - 1))
    return (scan.scores >= threshold) & scan.brain & kept(scan)


def test_a_patient_without_lesion_is_skipped_and_counted(dataset, validation):
    healthy = make_scan("d", 5, lesions=False)
    metrics = run("strict", [*dataset, healthy], validation).metrics
    alone = run("strict", dataset, validation).metrics
    absent = {name for name, metric in metrics.items() if metric.value is None}
    assert absent == {name for name, metric in alone.items() if metric.value is None}
    for name in set(metrics) - FALSE_POSITIVES - absent:
        assert metrics[name].value == alone[name].value, name
        assert (metrics[name].skipped, metrics[name].subjects) == (1, 3), name
        assert metrics[name].penalised == 0
    for name in FALSE_POSITIVES:
        assert (metrics[name].skipped, metrics[name].subjects) == (0, 4)


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.tuples(*(st.integers(0, size - 1) for size in SHAPE)), seed=st.integers(0, 3))
@pytest.mark.parametrize("silent", [True, False])
def test_one_more_false_positive_on_a_scan_without_lesion_improves_nothing(
    dataset, validation, silent, at, seed
):
    healthy = make_scan("d", seed, lesions=False)
    if silent:
        healthy = replace(healthy, scores=np.zeros_like(healthy.scores))
    louder = healthy.scores.copy()
    louder[at] = LEVELS - 1
    worse = replace(healthy, scores=louder)
    before, after = (run("strict", [*dataset, one], validation) for one in (healthy, worse))
    gap = ndimage.binary_dilation(predicted(healthy, before), np.ones((3, 3, 3)))[at]
    for name, metric in after.metrics.items():
        old = before.metrics[name]
        if name == "fpr":  # has a target; below it, more is nearer
            assert metric.value >= old.value
        elif name == "false_findings":
            assert gap or metric.value >= old.value  # a voxel may join two findings
        else:
            assert (metric.value, metric.skipped) == (old.value, old.skipped)


def test_an_empty_prediction_costs_the_diagonal_of_the_brain_and_is_counted(dataset, validation):
    scan = dataset[0]
    silent = replace(scan, scores=np.zeros_like(scan.scores))
    result = run("strict", [silent, *dataset[1:]], validation)
    diagonal = box_diagonal(scan.brain, SPACING)
    assert diagonal == pytest.approx(np.linalg.norm([7 * 2.0, 17 * 1.5, 13 * 1.5]))
    assert result.scans[0].metrics["hd"] == result.scans[0].metrics["hd95"] == diagonal
    for name in ("surface_dice", "lesion_f1", "panoptic_quality", "lesion_recall"):
        assert result.scans[0].metrics[name] == 0.0
        assert (result.metrics[name].penalised, result.metrics[name].skipped) == (0, 0)
    for name in ("hd", "hd95"):
        assert (result.metrics[name].penalised, result.metrics[name].skipped) == (1, 0)
    assert max(scan.metrics["hd"] for scan in result.scans[1:]) <= diagonal


@pytest.mark.parametrize("silent", [True, False])
def test_a_scan_without_lesion_has_no_distance_whatever_was_predicted(dataset, validation, silent):
    empty = make_scan("e", 6, lesions=False)
    if silent:
        empty = replace(empty, scores=np.zeros_like(empty.scores))
    metrics = run("strict", [*dataset, empty], validation).metrics
    for name in ("hd", "hd95", "surface_dice", "lesion_f1"):
        assert (metrics[name].penalised, metrics[name].skipped) == (0, 1)


def test_healthy_subjects_stand_beside_patients(dataset, validation):
    quiet = [replace(make_scan(f"h{k}", 20 + k, lesions=False), healthy=True) for k in range(4)]
    loud = replace(
        quiet[0], subject="h4", scores=quiet[0].scores + np.uint16(20_000) * quiet[0].brain
    )
    scans = [*dataset, *quiet, loud, make_scan("d", 6)]
    result = run("strict", scans, validation)
    of_scan = {
        s.name: one.metrics["patient_score"] for s, one in zip(scans, result.scans, strict=True)
    }
    for scan in scans:
        inside = np.sort(scan.scores[kept(scan) & scan.brain])[::-1]
        highest = inside[: int(np.ceil(len(inside) / 100))].mean() / (LEVELS - 1)
        assert of_scan[scan.name] == pytest.approx(highest)
    people = {
        name: np.mean([of_scan[scan.name] for scan in scans if scan.subject == name])
        for name in ("a", "b", "c", "d", "h0", "h1", "h2", "h3", "h4")
    }
    truth = [not name.startswith("h") for name in people]
    metrics = result.metrics
    area = roc_auc_score(truth, list(people.values()))
    assert 0.5 < area < 1
    assert metrics["patient_auroc"].value == pytest.approx(area)
    assert metrics["patient_auroc"].low < area < metrics["patient_auroc"].high
    precision = average_precision_score(truth, list(people.values()))
    assert metrics["patient_auprc"].value == pytest.approx(precision)
    assert metrics["patient_prevalence"].value == 4 / 9
    assert metrics["patient_sensitivity"].value == 0  # one loud healthy person of five
    threshold = threshold_at_fpr(validation, 0.01)
    volumes = [
        ((s.scores >= threshold) & s.brain & kept(s)).sum() * np.prod(SPACING) / 1000
        for s in [*quiet, loud]
    ]
    assert metrics["healthy_volume"].value == pytest.approx(np.mean(volumes))
    assert (metrics["healthy_volume"].unit, metrics["healthy_volume"].subjects) == ("ml", 5)


def test_without_healthy_subjects_detection_is_undefined(dataset, validation):
    metrics = run("strict", dataset, validation).metrics
    for name in ("patient_auroc", "patient_auprc", "patient_sensitivity", "healthy_volume"):
        assert metrics[name].value is None


def test_a_patient_with_one_session_without_lesion_is_still_a_patient(dataset, validation):
    empty = replace(make_scan("b", 5, "3", lesions=False), healthy=True)
    metrics = run("strict", [*dataset, empty], validation).metrics
    assert metrics["patient_auroc"].value is None
    assert metrics["healthy_volume"].value is None
