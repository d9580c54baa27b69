"""Protects: every number from a score histogram is the one an oracle computes from the voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import auc, average_precision_score, precision_recall_curve

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.histograms import (
    LEVELS,
    NOTHING,
    ScoreHistogram,
    average_precision,
    dice_at,
    dice_curve,
    false_positive_rate,
    max_dice,
    precision_recall,
    quantise,
    threshold_at_fpr,
)
from uad_bench.evaluation.scores.tally import Tally
from uad_bench.histogram_files import load_histograms, save_histograms

SCORES = st.one_of(st.integers(0, LEVELS - 1), st.sampled_from([0, 1, 7, LEVELS - 2, LEVELS - 1]))
VOXELS = st.lists(st.tuples(SCORES, st.sampled_from([0, 1, 2])), min_size=1, max_size=60)


def arrays(voxels):
    return (
        np.array([score for score, _ in voxels], np.uint16),
        np.array([kind for _, kind in voxels], np.uint8),
    )


def same(one, other):
    """Whether two histograms hold the same voxels."""
    pairs = ((one.healthy, other.healthy), (one.lesion, other.lesion))
    return all(
        np.array_equal(own.levels, others.levels) and np.array_equal(own.counts, others.counts)
        for own, others in pairs
    )


def counted(scores, lesion):
    """Scores as integers and truth as booleans, ignored voxels left out."""
    kept = lesion != 2
    return scores[kept].astype(np.int64), lesion[kept] == 1


def brute_dice(scores, truth, threshold):
    prediction = scores >= threshold
    return 2 * (prediction & truth).sum() / (prediction.sum() + truth.sum())


@given(VOXELS)
def test_average_precision_is_that_of_scikit_learn(voxels):
    scores, lesion = arrays(voxels)
    found = average_precision(ScoreHistogram.of(scores, lesion))
    values, truth = counted(scores, lesion)
    if truth.any():
        assert found == pytest.approx(average_precision_score(truth, values), abs=1e-12)
    else:
        assert found is None


@pytest.mark.parametrize(("levels", "larger"), [(8, True), (60_000, False)])
def test_the_trapezoid_is_another_number_on_either_side(levels, larger):
    rng = np.random.default_rng(0)
    lesion = (rng.random(2000) < 0.05).astype(np.uint8)
    scores = np.clip(levels * (0.4 + 0.1 * rng.normal(size=2000) + 0.1 * lesion), 0, levels)
    found = average_precision(ScoreHistogram.of(scores.astype(np.uint16), lesion))
    precision, recall, _ = precision_recall_curve(lesion, scores.astype(np.uint16))
    assert abs(auc(recall, precision) - found) > 1e-4
    assert bool(auc(recall, precision) > found) is larger


def test_average_precision_of_many_tied_voxels_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.random(400_000) < 0.005
    scores = np.clip(rng.normal(0.1, 0.1, truth.shape) + 0.2 * truth, 0, 1)
    levels = quantise(scores)
    histogram = ScoreHistogram.of(levels, truth.astype(np.uint8))
    assert abs(average_precision(histogram) - average_precision_score(truth, levels)) < 1e-12


@given(VOXELS)
def test_max_dice_is_the_best_of_all_unique_scores(voxels):
    scores, lesion = arrays(voxels)
    values, truth = counted(scores, lesion)
    found = max_dice(ScoreHistogram.of(scores, lesion))
    if not truth.any():
        assert found is None
        return
    dice, threshold = found
    thresholds = [t for t in np.unique(values) if t >= 1]
    best = max((brute_dice(values, truth, t) for t in thresholds), default=0.0)
    assert dice == pytest.approx(best, abs=1e-12)
    assert 1 <= threshold < LEVELS
    assert brute_dice(values, truth, threshold) == pytest.approx(dice, abs=1e-12)
    if dice > 0:
        assert threshold in values


@given(VOXELS, st.integers(0, NOTHING))
def test_dice_and_its_curve_are_those_of_the_masks(voxels, threshold):
    scores, lesion = arrays(voxels)
    histogram = ScoreHistogram.of(scores, lesion)
    values, truth = counted(scores, lesion)
    curve = dice_curve(histogram, np.arange(LEVELS))
    if not truth.any():
        assert dice_at(histogram, threshold) is None
        assert np.isnan(curve).all()
        return
    assert dice_at(histogram, threshold) == pytest.approx(brute_dice(values, truth, threshold))
    if threshold < LEVELS:
        assert curve[threshold] == pytest.approx(brute_dice(values, truth, threshold))


@given(VOXELS)
def test_precision_recall_curve_is_that_of_scikit_learn(voxels):
    scores, lesion = arrays(voxels)
    values, truth = counted(scores, lesion)
    curve = precision_recall(ScoreHistogram.of(scores, lesion))
    if not truth.any():
        assert curve is None
        return
    precision, recall, thresholds = precision_recall_curve(truth, values)
    assert np.array_equal(curve.thresholds, thresholds)
    assert np.allclose(curve.precision, precision[:-1], rtol=0, atol=1e-12)
    assert np.allclose(curve.recall, recall[:-1], rtol=0, atol=1e-12)


@given(VOXELS, st.floats(0.0, 1.0))
def test_threshold_at_fpr_is_the_smallest_that_keeps_the_rate(voxels, rate):
    scores, lesion = arrays(voxels)
    values, truth = counted(scores, lesion)
    healthy = values[~truth]
    histogram = ScoreHistogram.of(scores, lesion)
    if not len(healthy):
        with pytest.raises(UadBenchError, match="no voxel"):
            threshold_at_fpr(histogram, rate)
        return
    threshold = threshold_at_fpr(histogram, rate)
    assert (healthy >= threshold).mean() <= rate
    assert false_positive_rate(histogram, threshold) == (healthy >= threshold).mean()
    if threshold > 1:
        assert (healthy >= threshold - 1).mean() > rate


def test_threshold_at_fpr_predicts_nothing_where_the_top_score_is_too_common():
    scores = np.full(10, LEVELS - 1, np.uint16)
    histogram = ScoreHistogram.of(scores, np.zeros(10, np.uint8))
    assert threshold_at_fpr(histogram, 0.01) == NOTHING
    assert not (scores >= NOTHING).any()


@given(VOXELS, VOXELS)
def test_histograms_merge_to_that_of_all_voxels(first, second):
    one, other = (ScoreHistogram.of(*arrays(part)) for part in (first, second))
    together = ScoreHistogram.of(*arrays(first + second))
    for some in ((one, other), (other, one)):
        assert same(ScoreHistogram.pooled(some), together)


def test_only_the_domain_is_counted_and_ignored_voxels_never_are():
    scores = np.array([[5, 5, 5, 9]], np.uint16)
    lesion = np.array([[0, 1, 2, 1]], np.uint8)
    histogram = ScoreHistogram.of(scores, lesion, np.array([[True, True, True, False]]))
    assert (histogram.healthy.dense()[5], histogram.healthy_voxels) == (1, 1)
    assert (histogram.lesion.dense()[5], histogram.lesion_voxels) == (1, 1)


def test_masks_that_do_not_fit_are_refused():
    scores = np.zeros(3, np.uint16)
    with pytest.raises(UadBenchError, match="differ in shape"):
        ScoreHistogram.of(scores, np.zeros(4, np.uint8))
    with pytest.raises(UadBenchError, match="value 3"):
        ScoreHistogram.of(scores, np.full(3, 3, np.uint8))


@given(hnp.arrays(np.float32, st.integers(0, 20), elements=st.floats(0, 1, width=32)))
def test_quantise_rounds_to_the_nearest_level(values):
    levels = quantise(values)
    assert levels.dtype == np.uint16
    exact = values.astype(np.float64) * (LEVELS - 1)
    assert (np.abs(levels - exact) <= 0.5).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e-6, 1.0001])
def test_quantise_refuses_what_is_not_a_score(bad):
    with pytest.raises(UadBenchError, match="outside"):
        quantise(np.array([0.5, bad], np.float32))


def test_quantise_gives_every_level_back():
    levels = np.arange(LEVELS)
    assert np.array_equal(quantise((levels / (LEVELS - 1)).astype(np.float32)), levels)


@settings(max_examples=20)
@given(st.lists(VOXELS, max_size=3))
def test_stored_histograms_come_back_equal(tmp_path_factory, dataset):
    path = tmp_path_factory.mktemp("histograms") / "deep" / "cell.npz"
    stored = {f"p{i}/brain": ScoreHistogram.of(*arrays(v)) for i, v in enumerate(dataset)}
    save_histograms(path, stored)
    loaded = load_histograms(path)
    assert list(loaded) == list(stored)
    for name, histogram in stored.items():
        assert same(loaded[name], histogram)


def test_stored_histograms_are_the_same_bytes_in_any_order(tmp_path: Path, monkeypatch):
    one = ScoreHistogram.of(np.arange(9, dtype=np.uint16), np.arange(9, dtype=np.uint8) % 3)
    two = ScoreHistogram.pooled([one, one])
    save_histograms(tmp_path / "a.npz", {"a/slice": one, "b/slice": two})
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    save_histograms(tmp_path / "b.npz", {"b/slice": two, "a/slice": one})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_a_broken_histogram_file_is_one_line(tmp_path: Path, content):
    path = tmp_path / "cell.npz"
    path.write_bytes(content)
    with pytest.raises(UadBenchError, match=r"cell\.npz"):
        load_histograms(path)
    with pytest.raises(UadBenchError, match=r"missing\.npz"):
        load_histograms(tmp_path / "missing.npz")


def test_a_histogram_file_whose_parts_do_not_fit_is_one_line(tmp_path: Path):
    path = tmp_path / "cell.npz"
    save_histograms(path, {"a/slice": ScoreHistogram.of(*arrays([(3, 0), (5, 1)]))})
    with np.load(path) as file:
        parts = dict(file)
    for name, value in {"healthy_sizes": [2], "lesion_levels": [3, 4], "names": ["a", "b"]}.items():
        np.savez(path, **(parts | {name: np.array(value)}))
        with pytest.raises(UadBenchError, match=r"cell\.npz"):
            load_histograms(path)


def test_a_count_beyond_32_bits_is_kept():
    counts = np.zeros(LEVELS, np.int64)
    counts[[3, 9]] = 1, (1 << 32) + 5
    tally = Tally.of(counts)
    assert tally.voxels == (1 << 32) + 6
    assert np.array_equal(tally.dense(), counts)


@given(VOXELS, st.lists(st.integers(0, NOTHING), max_size=5))
def test_voxels_at_or_above_a_level_are_counted(voxels, levels):
    scores, lesion = arrays(voxels)
    found = ScoreHistogram.of(scores, lesion).lesion.at_or_above(np.array(levels, np.int64))
    assert found.tolist() == [int((scores[lesion == 1] >= level).sum()) for level in levels]
