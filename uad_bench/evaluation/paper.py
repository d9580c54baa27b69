"""The protocol ``paper``: pooled over voxels, the threshold searched on the test labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.hausdorff import slice_distances
from uad_bench.evaluation.histograms import (
    NOTHING,
    ScoreHistogram,
    average_precision,
    dice_at,
    max_dice,
)
from uad_bench.evaluation.intervals import pooled_intervals, ratio_interval
from uad_bench.evaluation.scored import Evaluation, ScanSource, as_score, with_interval
from uad_bench.evaluation.values import Metric, ScanScores


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """One scan: who, its histogram, and the distance of each slice (NaN, inf: see hausdorff)."""

    subject: str
    session: str | None
    histogram: ScoreHistogram
    distances: NDArray[np.float64]

    @property
    def distance_sum(self) -> float:
        """Sum of the distances of the slices that show both masks, in pixels."""
        return float(self.distances[np.isfinite(self.distances)].sum())

    @property
    def slices_with_both(self) -> int:
        """Slices that show lesion and prediction."""
        return int(np.isfinite(self.distances).sum())

    @property
    def slices_with_any(self) -> int:
        """Slices that show lesion or prediction."""
        return int((~np.isnan(self.distances)).sum())

    def scores(self, threshold: int) -> ScanScores:
        """The numbers of this scan at the threshold of the whole dataset."""
        values = {
            "auprc": average_precision(self.histogram),
            "prevalence": self.histogram.prevalence,
            "max_dice": dice_at(self.histogram, threshold),
            "hd": _ratio(self.distance_sum, self.slices_with_both),
            "hd_coverage": _ratio(self.slices_with_both, self.slices_with_any),
        }
        return ScanScores(subject=self.subject, session=self.session, metrics=values)


def evaluate_paper(source: ScanSource) -> Evaluation:
    """Evaluate under the protocol ``paper``. Reads the scans twice.

    Args:
        source: the scans of the dataset.
    """
    histograms = {scan.name: scan.whole_slice_histogram() for scan in source()}
    pooled = sum(histograms.values(), ScoreHistogram.empty())
    best = max_dice(pooled)
    threshold = NOTHING if best is None else best[1]
    scans = [
        _Scan(
            scan.subject,
            scan.session,
            histograms[scan.name],
            slice_distances(scan.predicted(threshold), scan.lesion_mask),
        )
        for scan in source()
    ]
    return Evaluation(
        metrics=_metrics(scans, pooled, None if best is None else best[0]),
        scans=tuple(scan.scores(threshold) for scan in scans),
        thresholds={} if best is None else {"max_dice": as_score(threshold)},
        histograms={f"{name}/slice": histogram for name, histogram in histograms.items()},
    )


def _metrics(
    scans: Sequence[_Scan], pooled: ScoreHistogram, dice: float | None
) -> dict[str, Metric]:
    """The numbers of the dataset with their intervals."""
    people = [
        [scan for scan in scans if scan.subject == subject]
        for subject in dict.fromkeys(scan.subject for scan in scans)
    ]
    histograms = [sum((s.histogram for s in own), ScoreHistogram.empty()) for own in people]
    intervals = pooled_intervals(histograms)
    lesions = [own.lesion_voxels for own in histograms]
    voxels = [own.lesion_voxels + own.healthy_voxels for own in histograms]
    sums = [sum(scan.distance_sum for scan in own) for own in people]
    both = [sum(scan.slices_with_both for scan in own) for own in people]
    shown = [sum(scan.slices_with_any for scan in own) for own in people]
    return {
        "auprc": with_interval(average_precision(pooled), intervals.average_precision),
        "prevalence": with_interval(
            pooled.prevalence, ratio_interval(lesions, voxels, "share"), better=None
        ),
        "max_dice": with_interval(dice, intervals.max_dice),
        "hd": with_interval(
            _ratio(sum(sums), sum(both)),
            ratio_interval(sums, both, "amount"),
            unit="px",
            better="lower",
            skipped=sum(scan.slices_with_both == 0 for scan in scans),
        ),
        "hd_coverage": with_interval(
            _ratio(sum(both), sum(shown)),
            ratio_interval(both, shown, "share"),
            better=None,
            skipped=sum(scan.slices_with_any == 0 for scan in scans),
        ),
    }


def _ratio(above: float, below: float) -> float | None:
    """A ratio, or ``None`` where nothing stands below."""
    return above / below if below else None
