"""Protocol paper is what its description says, by recomputation from the voxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scored_scans import SHAPE, dice, kept, make_scan, run
from sklearn.metrics import average_precision_score

from uad_bench.evaluation.masks.hausdorff import slice_distances
from uad_bench.evaluation.scores.histograms import LEVELS


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.tuples(*(st.integers(0, size - 1) for size in SHAPE)), score=st.integers(1, 65535))
def test_one_more_false_positive_without_lesion_improves_nothing_under_paper(
    dataset, validation, at, score
):
    healthy = make_scan("d", 3, lesions=False)
    louder = healthy.scores.copy()
    louder[at] = max(louder[at], score)
    before, after = (
        run("paper", [*dataset, one], validation)
        for one in (healthy, replace(healthy, scores=louder))
    )
    for name in ("auprc", "max_dice"):
        assert after.metrics[name].value <= before.metrics[name].value
    if after.thresholds == before.thresholds:
        assert after.metrics["hd"].value == before.metrics["hd"].value
        assert after.metrics["hd_coverage"].value <= before.metrics["hd_coverage"].value


def test_paper_pools_all_voxels_and_searches_the_threshold_on_the_test_labels(dataset, validation):
    result = run("paper", dataset, validation)
    scores = np.concatenate([scan.scores[kept(scan)] for scan in dataset])
    truth = np.concatenate([scan.lesion[kept(scan)] == 1 for scan in dataset])
    precision = average_precision_score(truth, scores)
    assert result.metrics["auprc"].value == pytest.approx(precision, abs=1e-12)
    best = max(dice(scores >= t, truth) for t in np.unique(scores[truth]))
    assert result.metrics["max_dice"].value == pytest.approx(best, abs=1e-12)
    threshold = round(result.thresholds["max_dice"] * (LEVELS - 1))
    assert dice(scores >= threshold, truth) == pytest.approx(best, abs=1e-12)
    assert result.metrics["auprc"].subjects == 0


def test_paper_distance_is_the_mean_over_slices_with_both_masks_and_says_how_many(
    dataset, validation
):
    result = run("paper", dataset, validation)
    threshold = round(result.thresholds["max_dice"] * (LEVELS - 1))
    found = np.concatenate(
        [slice_distances((s.scores >= threshold) & kept(s), s.lesion == 1) for s in dataset]
    )
    both = np.isfinite(found)
    hd, coverage = result.metrics["hd"], result.metrics["hd_coverage"]
    assert hd.value == pytest.approx(found[both].mean())
    assert (hd.unit, hd.better) == ("px", "lower")
    assert coverage.value == pytest.approx(both.sum() / (~np.isnan(found)).sum())
    assert coverage.better is None  # what stands behind hd; a ball in the centre covers most slices


def test_paper_without_any_lesion_is_undefined_not_wrong(validation):
    scans = [make_scan("a", 1, lesions=False), make_scan("b", 2, lesions=False)]
    result = run("paper", scans, validation)
    assert all(metric.value is None for metric in result.metrics.values())
    assert result.metrics["hd"].skipped == 2
    assert result.thresholds == {}
    strict = run("strict", scans, validation)
    assert strict.metrics["max_dice"].value is None
    assert strict.metrics["fpr"].value is not None
