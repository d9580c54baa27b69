"""Protects: both protocols say what their descriptions say, by recomputation from the voxels."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.masks.hausdorff import box_diagonal, slice_distances, surface_distance
from uad_bench.evaluation.masks.lesions import SIZES, match_lesions
from uad_bench.evaluation.protocol import validation_histogram
from uad_bench.evaluation.protocols.paper import PAPER
from uad_bench.evaluation.protocols.strict import STRICT
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import (
    LEVELS,
    NOTHING,
    ScoreHistogram,
    max_dice,
    threshold_at_fpr,
)
from uad_bench.histogram_files import save_histograms

PROTOCOLS = {"strict": STRICT, "paper": PAPER}
SHAPE = (8, 24, 20)
SPACING = (2.0, 1.5, 1.5)


def make_scan(subject, seed, session=None, lesions=True, gain=6000):
    """A noisy scan: a box of brain, blobs of lesion inside it, a stripe of ignored voxels."""
    rng = np.random.default_rng(seed)
    brain = np.zeros(SHAPE, np.bool_)
    brain[:, 3:21, 3:17] = True
    field = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.2)
    found = brain & (field > np.quantile(field[brain], 0.95)) & lesions
    lesion = found.astype(np.uint8)
    lesion[:, 10, 5:8] = 2
    scores = rng.integers(0, 12_000, SHAPE) + gain * found
    scores[~brain] //= 3
    return ScoredScan(
        subject, session, scores.astype(np.uint16), lesion, brain, SPACING, np.arange(8)
    )


@pytest.fixture(scope="module")
def dataset():
    return [
        make_scan("a", 1),
        make_scan("b", 2, "1"),
        make_scan("b", 3, "2"),
        make_scan("c", 4, gain=2000),
    ]


@pytest.fixture(scope="module")
def validation():
    return validation_histogram([make_scan("healthy", 9, lesions=False)])


def run(protocol, scans, validation):
    return PROTOCOLS[protocol].evaluate(lambda: iter(scans), validation)


def kept(scan):
    """Voxels that count."""
    return scan.lesion != 2


def by_subject(values):
    """Mean over sessions, then over subjects, for the dataset above: a, b (two sessions), c."""
    a, b1, b2, c = values
    return np.mean([a, (b1 + b2) / 2, c])


def dice(prediction, lesion):
    return 2 * (prediction & lesion).sum() / (prediction.sum() + lesion.sum())


def test_every_protocol_reports_exactly_the_metrics_it_names(dataset, validation):
    scans = [*dataset, make_scan("d", 6, gain=3000)]
    for name, protocol in PROTOCOLS.items():
        result = run(name, scans, validation)
        names = {one.name for one in protocol.metrics}
        assert tuple(result.metrics) == tuple(one.name for one in protocol.metrics)
        for scan in result.scans:
            whole = {one for one in names if one.startswith("patient_")}
            own = {"patient_score"} if whole else set()
            assert set(scan.metrics) == names - whole | own
        assert protocol.name == name
        assert f"version {protocol.version}" in protocol.caption
        assert not set("&\\_{}$#~^\n") & set(protocol.caption)
        for metric in result.metrics.values():
            if metric.value is not None:
                assert metric.low is None or metric.low < metric.value < metric.high
        assert result.metrics["auprc"].low is not None
        assert result.metrics["max_dice"].low is not None


def test_three_subjects_have_no_interval(dataset, validation):
    for name in PROTOCOLS:
        for metric in run(name, dataset, validation).metrics.values():
            assert metric.low is metric.high is None


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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prevalence_is_the_precision_of_any_constant_score(protocol, dataset, validation):
    constant = [replace(scan, scores=np.full_like(scan.scores, 40_000)) for scan in dataset]
    metrics = run(protocol, constant, validation).metrics
    pairs = {"auprc": "prevalence", "auprc_slice": "prevalence_slice"}
    for name, prevalence in pairs.items():
        if name in metrics:
            assert metrics[prevalence].value == pytest.approx(metrics[name].value)
            assert metrics[prevalence].better is None
    real = run(protocol, dataset, validation).metrics
    assert real["prevalence"] == metrics["prevalence"]
    inside = [(s.lesion == 1).sum() / (s.brain & kept(s)).sum() for s in dataset]
    if protocol == "strict":
        assert real["prevalence"].value == pytest.approx(by_subject(inside))


def test_a_prediction_of_everything_finds_no_lesion_and_one_thing_that_is_none(dataset):
    nothing = ScoreHistogram.of(np.zeros(9, np.uint16), np.zeros(9, np.uint8))
    loud = [replace(scan, scores=np.full_like(scan.scores, LEVELS - 1)) for scan in dataset]
    metrics = run("strict", loud, nothing).metrics
    for name in ("lesion_f1", "panoptic_quality", "lesion_recall"):
        assert metrics[name].value == 0.0
    assert metrics["false_findings"].value == 1.0
    assert metrics["fpr"].value == 1.0


def test_ignored_voxels_change_nothing(dataset, validation):
    other = []
    for scan in dataset:
        scores = scan.scores.copy()
        scores[scan.lesion == 2] = LEVELS - 1
        other.append(replace(scan, scores=scores))
    for protocol in PROTOCOLS:
        one, two = (run(protocol, scans, validation) for scans in (dataset, other))
        assert one.metrics == two.metrics
        assert one.scans == two.scans


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


def test_without_healthy_subjects_detection_is_undefined(dataset, validation):
    metrics = run("strict", dataset, validation).metrics
    for name in ("patient_auroc", "patient_auprc", "patient_sensitivity", "healthy_volume"):
        assert metrics[name].value is None


def test_a_patient_with_one_session_without_lesion_is_still_a_patient(dataset, validation):
    empty = replace(make_scan("b", 5, "3", lesions=False), healthy=True)
    metrics = run("strict", [*dataset, empty], validation).metrics
    assert metrics["patient_auroc"].value is None
    assert metrics["healthy_volume"].value is None


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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_stored_histograms_hold_what_the_metrics_came_from(protocol, dataset, validation):
    result = run(protocol, dataset, validation)
    domains = ("brain", "slice") if protocol == "strict" else ("slice",)
    names = ["a", "b_1", "b_2", "c"]
    assert set(result.histograms) == {f"{n}/{d}" for n in names for d in domains}
    if protocol == "paper":
        pooled = ScoreHistogram.pooled(result.histograms.values())
        assert max_dice(pooled)[0] == result.metrics["max_dice"].value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_scans_give_the_same_bytes(protocol, dataset, validation, tmp_path):
    records = []
    for name in ("first", "second"):
        result = run(protocol, [*dataset, make_scan("d", 6)], validation)
        save_histograms(tmp_path / name, result.histograms)
        records.append(
            (
                [json.dumps(asdict(metric)) for metric in result.metrics.values()],
                [json.dumps(asdict(scan)) for scan in result.scans],
                (tmp_path / name).read_bytes(),
            )
        )
    assert records[0] == records[1]


def test_validation_counts_healthy_brain_only():
    scan = make_scan("healthy", 9, lesions=False)
    histogram = validation_histogram([scan, scan])
    assert histogram.healthy_voxels == 2 * (scan.brain & kept(scan)).sum()
    assert histogram.lesion_voxels == 0


def test_what_cannot_be_evaluated_is_one_line(dataset, validation):
    for protocol in PROTOCOLS:
        with pytest.raises(UadBenchError, match="no scan"):
            run(protocol, [], validation)
        with pytest.raises(UadBenchError, match="two scans are called a:"):
            run(protocol, [dataset[0], dataset[0]], validation)
    with pytest.raises(UadBenchError, match="no voxel"):
        run("strict", dataset, ScoreHistogram.pooled([]))
    with pytest.raises(UadBenchError, match="scan a do not fit"):
        replace(dataset[0], brain=dataset[0].brain[:3])
    with pytest.raises(UadBenchError, match="scan a are missing or out of order"):
        replace(dataset[0], z=np.arange(8)[::-1])
