"""Protocol strict is what its description says, by recomputation from the voxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scored_scans import SPACING, by_subject, dice, kept, make_scan, run
from sklearn.metrics import average_precision_score

from uad_bench.evaluation.masks.hausdorff import surface_distance
from uad_bench.evaluation.masks.lesions import SIZES, match_lesions
from uad_bench.evaluation.scores.histograms import LEVELS, NOTHING, ScoreHistogram, threshold_at_fpr


def test_strict_precision_is_per_patient_in_the_brain_and_on_the_whole_slice(dataset, validation):
    metrics = run("strict", dataset, validation).metrics
    inside, whole = [], []
    for scan in dataset:
        use = kept(scan) & scan.brain
        inside.append(average_precision_score(scan.lesion[use] == 1, scan.scores[use]))
        use = kept(scan)
        whole.append(average_precision_score(scan.lesion[use] == 1, scan.scores[use]))
    assert metrics["auprc"].value == pytest.approx(by_subject(inside), abs=1e-12)
    assert metrics["auprc_slice"].value == pytest.approx(by_subject(whole), abs=1e-12)
    assert metrics["auprc"].subjects == 3


@pytest.mark.parametrize(
    ("metric", "name", "rate"), [("dice", "fpr1", 1), ("dice_fpr5", "fpr5", 5)]
)
def test_strict_thresholds_come_from_validation_alone(dataset, validation, metric, name, rate):
    result = run("strict", dataset, validation)
    threshold = round(result.thresholds[name] * (LEVELS - 1))
    assert threshold == threshold_at_fpr(validation, rate / 100)
    values = [dice((s.scores >= threshold) & s.brain & kept(s), s.lesion == 1) for s in dataset]
    assert result.metrics[metric].value == pytest.approx(by_subject(values))
    other = [replace(scan, lesion=np.roll(scan.lesion, 2, axis=1)) for scan in dataset]
    assert run("strict", other, validation).thresholds[name] == result.thresholds[name]


def test_strict_max_dice_is_the_best_common_threshold_of_all(dataset, validation):
    result = run("strict", dataset, validation)
    thresholds = np.unique(np.concatenate([scan.scores.ravel() for scan in dataset]))[::40]
    chosen = round(result.thresholds["max_dice"] * (LEVELS - 1))

    def mean_dice(threshold):
        return by_subject(
            [dice((s.scores >= threshold) & s.brain & kept(s), s.lesion == 1) for s in dataset]
        )

    value = result.metrics["max_dice"].value
    assert value == pytest.approx(mean_dice(chosen))
    assert value >= max(mean_dice(t) for t in thresholds if t >= 1) - 1e-12
    assert value >= result.metrics["dice"].value


def test_strict_distances_rates_and_lesions_are_those_of_the_masks(dataset, validation):
    result = run("strict", dataset, validation)
    threshold = threshold_at_fpr(validation, 0.01)
    for scan, scores in zip(dataset, result.scans, strict=True):
        prediction = (scan.scores >= threshold) & scan.brain & kept(scan)
        found = surface_distance(prediction, scan.lesion == 1, SPACING, penalty=0.0)
        assert (scores.metrics["hd"], scores.metrics["hd95"]) == (found.hd, found.hd95)
        assert scores.metrics["surface_dice"] == found.dice
        match = match_lesions(prediction, scan.lesion == 1, SPACING)
        assert scores.metrics["lesion_f1"] == match.f1
        assert scores.metrics["panoptic_quality"] == match.panoptic_quality
        assert scores.metrics["lesion_recall"] == match.recall()
        assert scores.metrics["false_findings"] == match.false_findings
        for size, limits in SIZES.items():
            assert scores.metrics[f"lesion_recall_{size}"] == match.recall(*limits)
        healthy = scan.brain & (scan.lesion == 0)
        rate = (scan.scores[healthy] >= threshold).mean()
        assert scores.metrics["fpr"] == pytest.approx(rate)
        assert 0 < match.matched <= match.lesions
    for name, unit, better in [
        ("hd", "mm", "lower"),
        ("hd95", "mm", "lower"),
        ("surface_dice", "", "higher"),
        ("lesion_f1", "", "higher"),
        ("false_findings", "per scan", "lower"),
        ("fpr", "", None),
        ("auprc", "", "higher"),
    ]:
        metric = result.metrics[name]
        assert (metric.unit, metric.better) == (unit, better)
        values = [scan.metrics[name] for scan in result.scans]
        assert metric.value == pytest.approx(by_subject(values))
    targets = {name: one.target for name, one in result.metrics.items() if one.target is not None}
    assert targets == {"fpr": 0.01}


def test_a_prediction_of_everything_finds_no_lesion_and_one_thing_that_is_none(dataset):
    nothing = ScoreHistogram.of(np.zeros(9, np.uint16), np.zeros(9, np.uint8))
    loud = [replace(scan, scores=np.full_like(scan.scores, LEVELS - 1)) for scan in dataset]
    metrics = run("strict", loud, nothing).metrics
    for name in ("lesion_f1", "panoptic_quality", "lesion_recall"):
        assert metrics[name].value == 0.0
    assert metrics["false_findings"].value == 1.0
    assert metrics["fpr"].value == 1.0


def test_strict_ignores_the_background_but_not_a_lesion_that_the_brain_mask_cuts_off(validation):
    scan = make_scan("a", 1)
    loud = replace(scan, scores=np.where(scan.brain, scan.scores, np.uint16(LEVELS - 1)))
    one, two = (run("strict", [s], validation).metrics for s in (scan, loud))
    for name in set(one) - {"auprc_slice"}:
        assert one[name] == two[name]
    assert one["auprc_slice"].value > two["auprc_slice"].value
    cut = scan.brain.copy()
    cut[:4] = False
    three = run("strict", [replace(scan, brain=cut)], validation).metrics
    assert three["auprc"].value < one["auprc"].value
    assert three["dice"].value < one["dice"].value
    assert three["lesion_recall"].value < one["lesion_recall"].value


def test_a_lesion_outside_the_brain_is_missed_in_the_brain_and_can_be_found_on_the_slice(
    validation,
):
    scan = make_scan("a", 1)
    lesion = scan.lesion.copy()
    lesion[:, 0] = 1
    loud = scan.scores.copy()
    loud[:, 0] = LEVELS - 1
    quiet = scan.scores.copy()
    quiet[:, 0] = 0
    one, two = (
        run("strict", [replace(scan, lesion=lesion, scores=scores)], validation).metrics
        for scores in (loud, quiet)
    )
    alone = run("strict", [scan], validation).metrics
    for name in ("auprc", "dice", "max_dice", "surface_dice", "lesion_recall"):
        assert one[name] == two[name]
        assert one[name].value < alone[name].value
    assert one["auprc_slice"].value > alone["auprc_slice"].value > two["auprc_slice"].value


def test_a_threshold_above_every_score_predicts_nothing(dataset):
    flat = ScoreHistogram.of(np.full(9, LEVELS - 1, np.uint16), np.zeros(9, np.uint8))
    result = run("strict", dataset, flat)
    assert result.thresholds["fpr1"] == NOTHING / (LEVELS - 1)
    assert result.metrics["dice"].value == result.metrics["fpr"].value == 0.0
    assert result.metrics["hd"].penalised == 4


def test_missing_slices_are_empty_space(validation):
    scan = make_scan("a", 1)
    rows = [0, 1, 2, 5, 6, 7]
    parts = {name: getattr(scan, name)[rows] for name in ("scores", "lesion", "brain")}
    gap = replace(scan, **parts, z=np.array(rows) + 30)
    filled = {name: getattr(scan, name).copy() for name in parts}
    for array in filled.values():
        array[[3, 4]] = 0
    full = replace(scan, **filled)
    for name in ("hd", "hd95", "lesion_recall", "lesion_f1", "false_findings", "dice", "auprc"):
        one, two = (run("strict", [s], validation).metrics[name] for s in (gap, full))
        assert one == two
