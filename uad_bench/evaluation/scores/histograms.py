"""Score histograms: the exact 16-bit sufficient statistic of a scan, and what follows from it.

A score is the integer ``round(65535 s)`` of an anomaly map ``s`` in [0, 1]. The number of healthy
and of lesion voxels at each of the 65536 levels determines every threshold's counts, and with
them average precision, the precision-recall curve and Dice, without another look at the maps.
Histograms of several scans merge by integer addition, in any order, to the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.counting import KINDS, count_into, round_to_levels
from uad_bench.evaluation.scores.tally import LEVELS, Counts, Tally

NOTHING = LEVELS
"""The threshold above every score: nothing is predicted."""

HEALTHY, LESION, IGNORED = 0, 1, 2
"""The values of a lesion array; ignored voxels are counted neither way."""

_PART = 1 << 20
"""Voxels that are counted at once: their arrays stay in a processor's cache."""

FloatCurve = NDArray[np.float64]


def quantise(scores: ArrayLike) -> NDArray[np.uint16]:
    """Turn an anomaly map into scores: ``round(65535 s)``, half to even, in double precision.

    Args:
        scores: anomaly map of any shape, in [0, 1].

    Returns:
        uint16 scores of the same shape.

    Raises:
        UadBenchError: if a value is NaN or outside [0, 1].
    """
    values = np.asarray(scores)
    flat = np.asarray(values, _precision(values), order="C").reshape(-1)
    flat.flags.writeable = False  # as of a file: another kind of array would be compiled anew
    levels = np.empty(values.shape, np.uint16)
    if not round_to_levels(flat, levels.reshape(-1)):
        raise UadBenchError(
            f"an anomaly map has values outside [0, 1] ({values.min():g} to {values.max():g}): "
            "its method must return finite scores in that range"
        )
    return levels


def _precision(values: NDArray[Any]) -> type[np.floating]:
    """The type that an anomaly map is read in, which loses nothing."""
    return np.float32 if values.dtype == np.float32 else np.float64


@dataclass(frozen=True, slots=True, eq=False)
class ScoreHistogram:
    """Voxels per score level. That of a scan takes 0.1 to 0.3 MB.

    Attributes:
        healthy: the scores of healthy voxels.
        lesion: the scores of lesion voxels.
    """

    healthy: Tally
    lesion: Tally

    @classmethod
    def pooled(cls, some: Iterable[ScoreHistogram]) -> ScoreHistogram:
        """The histogram of all voxels together, the same in any order."""
        healthy, lesion = np.zeros((2, LEVELS), np.int64)
        for one in some:
            one.healthy.add_to(healthy)
            one.lesion.add_to(lesion)
        return cls(Tally.of(healthy), Tally.of(lesion))

    @classmethod
    def of(
        cls,
        scores: NDArray[np.uint16] | NDArray[np.floating],
        lesion: NDArray[np.uint8],
        domain: NDArray[np.bool_] | None = None,
    ) -> ScoreHistogram:
        """Count the voxels of one scan.

        Args:
            scores: uint16 scores, any shape; or the anomaly map itself, of which no more than
                a part is turned into scores at once.
            lesion: the same shape: 0 healthy, 1 lesion, 2 ignored.
            domain: the voxels to count; ``None`` counts all.

        Raises:
            UadBenchError: if the shapes differ, ``lesion`` holds another value, or a map is not in
                [0, 1].
        """
        if scores.shape != lesion.shape or (domain is not None and domain.shape != scores.shape):
            raise UadBenchError(
                f"scores {scores.shape} and masks {lesion.shape} differ in shape: "
                "they must cover the same voxels"
            )
        arrays = (scores, lesion) if domain is None else (scores, lesion, domain)
        is_map = np.issubdtype(scores.dtype, np.floating)
        first = _precision(scores) if is_map else np.uint16
        parts = np.nditer(
            arrays,
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_flags=[["readonly", "contig", "nbo", "aligned"]] * len(arrays),  # type: ignore[list-item]
            op_dtypes=(first, np.uint8, np.bool_)[: len(arrays)],
            buffersize=_PART,
        )
        narrow = scores.size < 1 << 32
        table = np.zeros((KINDS, LEVELS, 2), np.uint32 if narrow else np.int64)
        seen = 0
        for some, kinds, *inside in parts:
            levels = quantise(some) if is_map else some
            seen |= count_into(levels, kinds, inside[0] if inside else None, table)
        if seen >= IGNORED and lesion.max() > IGNORED:
            raise UadBenchError(
                f"a lesion array holds the value {lesion.max()}: only 0 (healthy), 1 (lesion) "
                "and 2 (ignored) are allowed"
            )
        even, odd = table[:IGNORED, :, 0], table[:IGNORED, :, 1]
        return cls(*map(Tally.of, np.add(even, odd, dtype=np.int64, casting="unsafe")))

    @property
    def lesion_voxels(self) -> int:
        """Number of lesion voxels."""
        return self.lesion.voxels

    @property
    def healthy_voxels(self) -> int:
        """Number of healthy voxels."""
        return self.healthy.voxels

    @property
    def prevalence(self) -> float | None:
        """Share of the voxels that are lesion, the average precision of any constant score.

        ``None`` where there is no lesion voxel, as average precision is undefined there.
        """
        lesion = self.lesion_voxels
        return lesion / (lesion + self.healthy_voxels) if lesion else None


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """The precision-recall curve at every threshold that changes the prediction.

    Attributes:
        precision: float64 ``[T]``.
        recall: float64 ``[T]``, falling.
        thresholds: int64 ``[T]``, rising; the distinct scores of the voxels.
    """

    precision: FloatCurve
    recall: FloatCurve
    thresholds: Counts


def precision_recall(histogram: ScoreHistogram) -> PrecisionRecall | None:
    """Precision and recall at every distinct score; ``None`` where there is no lesion voxel.

    ``precision(t) = TP(t) / (TP(t) + FP(t))`` and ``recall(t) = TP(t) / P``.
    """
    if not histogram.lesion_voxels:
        return None
    thresholds = np.union1d(histogram.healthy.levels, histogram.lesion.levels).astype(np.int64)
    true = histogram.lesion.at_or_above(thresholds)
    false = histogram.healthy.at_or_above(thresholds)
    return PrecisionRecall(true / (true + false), true / true[0], thresholds)


def average_precision(histogram: ScoreHistogram) -> float | None:
    """AUPRC as average precision, ``sum_t (R(t) - R(t + 1)) P(t)``; ``None`` without lesion voxels.

    This is scikit-learn's ``average_precision_score``: no interpolation between thresholds.
    """
    levels = histogram.lesion.levels
    if not len(levels):
        return None
    true = histogram.lesion.at_or_above(levels)
    false = histogram.healthy.at_or_above(levels)
    return float(np.sum(histogram.lesion.counts * (true / (true + false))) / true[0])


def dice_curve(histogram: ScoreHistogram, levels: ArrayLike) -> FloatCurve:
    """Dice at some thresholds t of 0 or more, ``2 TP / (2 TP + FP + FN)``: float64 ``[T]``.

    Every value is NaN where there is no lesion voxel: Dice is undefined there.
    """
    thresholds = np.asarray(levels, np.int64)
    positives = histogram.lesion_voxels
    if not positives:
        return np.full(thresholds.shape, np.nan)
    true = histogram.lesion.at_or_above(thresholds)
    false = histogram.healthy.at_or_above(thresholds)
    dice: FloatCurve = 2.0 * true / (true + false + positives)
    return dice


def max_dice(histogram: ScoreHistogram) -> tuple[float, int] | None:
    """The largest Dice over the thresholds 1 ... 65535, and the threshold that gives it.

    Of several thresholds that give it, the largest is taken. It is a score that a lesion voxel has,
    unless all of them have score 0. ``None`` where there is no lesion voxel.
    """
    if not histogram.lesion_voxels:
        return None
    curve = dice_curve(histogram, np.arange(1, LEVELS))
    best = largest_argmax(curve)
    return float(curve[best]), best + 1


def largest_argmax(curve: FloatCurve) -> int:
    """The last index at which ``curve`` takes its maximum."""
    return len(curve) - 1 - int(np.argmax(curve[::-1]))


def dice_at(histogram: ScoreHistogram, threshold: int) -> float | None:
    """Dice at ``threshold`` (0 ... 65536); ``None`` where there is no lesion voxel."""
    if not histogram.lesion_voxels:
        return None
    return float(dice_curve(histogram, [threshold])[0])


def false_positive_rate(histogram: ScoreHistogram, threshold: int) -> float | None:
    """Share of the healthy voxels that score ``threshold`` or more; ``None`` without any."""
    healthy = histogram.healthy_voxels
    return int(histogram.healthy.at_or_above([threshold])[0]) / healthy if healthy else None


def threshold_at_fpr(histogram: ScoreHistogram, fpr: float) -> int:
    """The smallest threshold in 1 ... 65536 whose false-positive rate is at most ``fpr``.

    65536 (:data:`NOTHING`) comes out where more than that share of the healthy voxels has the top
    score, so that no prediction keeps the rate.

    Raises:
        UadBenchError: if the histogram has no healthy voxel.
    """
    healthy = histogram.healthy_voxels
    if not healthy:
        raise UadBenchError(
            "the healthy validation data has no voxel inside a brain: a threshold at a "
            "false-positive rate needs some, so check the training dataset's brain masks"
        )
    reached = histogram.healthy.at_or_above(np.arange(1, LEVELS))
    kept = np.flatnonzero(reached / healthy <= fpr)
    return int(kept[0]) + 1 if len(kept) else NOTHING
