"""Simulated voxels, and what users would compute of them with scikit-learn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from uad_bench.evaluation.scores.histograms import (
    PrecisionRecall,
    ScoreHistogram,
    average_precision,
    max_dice,
    precision_recall,
    quantise,
)

Scores = NDArray[np.uint16]
Lesion = NDArray[np.uint8]


class Statistics(NamedTuple):
    """Average precision, maximum Dice, and precision and recall at rising thresholds."""

    average_precision: float
    max_dice: float
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def same(self, other: Statistics) -> bool:
        """Whether they are equal but for the rounding of sums."""
        pairs: zip[tuple[ArrayLike, ArrayLike]] = zip(self, other, strict=True)
        return all(np.allclose(own, others, rtol=0, atol=1e-9) for own, others in pairs)


def simulated_map(count: int, seed: int = 0) -> tuple[NDArray[np.float32], Lesion]:
    """An anomaly map and its lesions: 0.5 % of the voxels are lesion, 45 % are exactly 0."""
    rng = np.random.default_rng(seed)
    anomaly, lesion = np.empty(count, np.float32), np.empty(count, np.uint8)
    for start in range(0, count, 1 << 20):
        part = slice(start, min(start + (1 << 20), count))
        size = part.stop - start
        lesion[part] = rng.random(size, np.float32) < 0.005
        values = 0.1 + 0.05 * rng.standard_normal(size, np.float32) + 0.1 * lesion[part]
        values[rng.random(size, np.float32) < 0.45] = 0
        anomaly[part] = values.clip(0, 1)
    return anomaly, lesion


def simulated_voxels(count: int, seed: int = 0) -> tuple[Scores, Lesion]:
    """The same as 16-bit scores."""
    anomaly, lesion = simulated_map(count, seed)
    return quantise(anomaly), lesion


def of_histogram(histogram: ScoreHistogram) -> Statistics:
    """The statistics of a histogram that has a lesion voxel."""
    precision, dice = average_precision(histogram), max_dice(histogram)
    curve: PrecisionRecall | None = precision_recall(histogram)
    assert precision is not None
    assert dice is not None
    assert curve is not None
    return Statistics(precision, dice[0], curve.precision, curve.recall)


def by_sklearn(scores: Scores, lesion: Lesion) -> Statistics:
    """The same with two calls of scikit-learn; the maximum Dice is read off its curve."""
    precision, recall, _ = precision_recall_curve(lesion, scores)
    dice = 2 * precision[:-1] * recall[:-1] / np.maximum(precision + recall, 1e-300)[:-1]
    return Statistics(
        float(average_precision_score(lesion, scores)),
        float(dice.max()),
        precision[:-1],
        recall[:-1],
    )
