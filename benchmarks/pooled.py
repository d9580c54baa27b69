"""Average precision, maximum Dice and precision-recall curve of pooled voxels."""

from __future__ import annotations

import time
from functools import partial
from unittest import mock

import numpy as np

from benchmarks._voxels import Lesion, Scores, Statistics, by_sklearn, of_histogram, simulated_map
from benchmarks.measure import Row, at_most, compare, peak_growth, ratio, timed
from uad_bench.evaluation.scores import histograms
from uad_bench.evaluation.scores.counting import count_into
from uad_bench.evaluation.scores.histograms import ScoreHistogram, quantise

VOXELS = 100_000_000
PEER = "scikit-learn, two calls"


def counted(scores: Scores, lesion: Lesion) -> Statistics:
    """Count, and take everything from the histogram."""
    return of_histogram(ScoreHistogram.of(scores, lesion))


def without_compiler(scores: Scores, lesion: Lesion) -> Statistics:
    """The same with the plain loops."""
    with mock.patch.object(histograms, "count_into", count_into.plain):
        return counted(scores, lesion)


def measure() -> list[Row]:
    """Compare with scikit-learn, to the rounding of its sums; 1e8 voxels once, as it takes long."""
    anomaly, lesion = simulated_map(VOXELS)
    scores = quantise(anomaly)
    few, few_lesion = scores[: VOXELS // 100], lesion[: VOXELS // 100]
    rows = compare(
        "1e6 voxels, 16-bit scores",
        partial(counted, few, few_lesion),
        {PEER: (partial(by_sklearn, few, few_lesion), None)},
        same=Statistics.same,
    )
    again = np.random.default_rng(1).permutation(len(few))
    one, other = (
        ScoreHistogram.of(few, few_lesion),
        ScoreHistogram.of(few[again], few_lesion[again]),
    )
    for first, second in ((one.healthy, other.healthy), (one.lesion, other.lesion)):
        assert np.array_equal(first.dense(), second.dense()), "another order gives other counts"
    ours = partial(counted, scores, lesion)
    plain = partial(without_compiler, scores, lesion)
    without_compiler(few, few_lesion)
    memory = at_most("1e8 voxels: memory above the data", peak_growth(ours), "MB", 70)
    plain_memory = at_most("1e8 voxels without compiled code: memory", peak_growth(plain), "MB", 70)
    map_memory = peak_growth(partial(ScoreHistogram.of, anomaly, lesion))
    seconds = timed(
        {
            "": ours,
            "plain": plain,
            "histogram": partial(ScoreHistogram.of, scores, lesion),
            "scores": partial(quantise, anomaly),
            "map": partial(ScoreHistogram.of, anomaly, lesion),
        },
        repeat=3,
    )
    start = time.perf_counter()
    theirs = by_sklearn(scores, lesion)
    took = time.perf_counter() - start
    counting = (seconds[""] + timed({"": ours}, repeat=3)[""]) / 2  # before it and after it
    for own in (ours, plain):
        assert own().same(theirs), "scikit-learn gives another result"
    return [
        *rows,
        ratio("1e8 voxels, 16-bit scores", counting, f"{PEER}, one run", took, 150),
        memory,
        ratio("1e8 voxels without compiled code", seconds["plain"], f"{PEER}, one run", took),
        plain_memory,
        at_most(
            "float32 map to scores, share of the histogram's time",
            100 * seconds["scores"] / seconds["histogram"],
            "%",
            25,
        ),
        ratio(
            "1e8 voxels, histogram of the float32 map itself",
            seconds["map"],
            "scores first, then their histogram",
            seconds["scores"] + seconds["histogram"],
        ),
        at_most("the same: memory above the map", map_memory, "MB", 70),
    ]
