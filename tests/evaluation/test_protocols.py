"""Both protocols report what they name, the same every time, and refuse the rest in one line."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scored_scans import PROTOCOLS, by_subject, kept, make_scan, run

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import validation_histogram
from uad_bench.evaluation.scores.histograms import LEVELS, ScoreHistogram, max_dice
from uad_bench.histogram_files import save_histograms


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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_stored_histograms_hold_what_the_metrics_came_from(protocol, dataset, validation):
    result = run(protocol, dataset, validation)
    domains = ("brain", "slice") if protocol == "strict" else ("slice",)
    names = ["a", "b_1", "b_2", "c"]
    assert set(result.histograms) == {f"{n}/{d}" for n in names for d in domains}
    if protocol == "paper":
        pooled = ScoreHistogram.pooled(result.histograms.values())
        assert max_dice(pooled)[0] == result.metrics["max_dice"].value
    for scan in dataset:
        name = scan.subject if scan.session is None else f"{scan.subject}_{scan.session}"
        for domain in domains:
            found = result.histograms[f"{name}/{domain}"]
            assert found.lesion_voxels == (scan.lesion == 1).sum()
            assert found.healthy_voxels >= (scan.brain & (scan.lesion == 0)).sum()


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
