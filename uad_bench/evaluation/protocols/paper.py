"""What the SPA paper most likely did: voxels pooled, the threshold searched on test labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.masks.hausdorff import slice_distances
from uad_bench.evaluation.protocol import MetricInfo, Protocol
from uad_bench.evaluation.scored import (
    Evaluation,
    MeasuredScan,
    ScanSource,
    ScoredScan,
    as_score,
    named_histograms,
)
from uad_bench.evaluation.scores.histograms import (
    NOTHING,
    ScoreHistogram,
    average_precision,
    dice_at,
    max_dice,
)
from uad_bench.evaluation.statistics.intervals import pooled_intervals, ratio_interval
from uad_bench.evaluation.values import Metric, ScanScores

_SEARCHED = "Maximum Dice is an upper bound: its threshold is searched on test labels."
_DISTANCE = (
    "HD is the mean 2D Hausdorff distance at that threshold, over the slices that show both lesion "
    "and prediction."
)

_METRICS = (
    MetricInfo(
        name="auprc",
        title="AUPRC",
        shown="always",
        chance="prevalence",
        pooled="average_precision",
    ),
    MetricInfo(name="prevalence", title="Prevalence of lesion voxels", better=None),
    MetricInfo(
        name="max_dice",
        title="max Dice (upper bound)",
        shown="always",
        pooled="max_dice",
        notes=(_SEARCHED,),
    ),
    MetricInfo(
        name="hd",
        title="HD",
        unit="px",
        better="lower",
        shown="always",
        undefined="no slice with both lesion and prediction",
        needs="hd_coverage",
        notes=(_SEARCHED, _DISTANCE),
    ),
    MetricInfo(
        name="hd_coverage",
        title="Share of slices with an HD",
        better=None,
        shown="always",
        undefined="no slice with lesion or prediction",
        notes=(_SEARCHED, _DISTANCE),
    ),
)
"""Those of the default table are those of the paper's Tables 2, 4 and 5."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """What is added up of one scan: voxels, and slices with their distances in pixels.

    Attributes:
        measured: the scan.
        lesion_voxels: how many there are.
        voxels: how many are counted at all.
        distance_sum: of the slices that show lesion and prediction.
        with_both: slices that show lesion and prediction.
        with_any: slices that show one of them.
        scores: the numbers of the scan.
    """

    measured: MeasuredScan
    lesion_voxels: int
    voxels: int
    distance_sum: float
    with_both: int
    with_any: int
    scores: ScanScores

    @classmethod
    def of(cls, measured: MeasuredScan, distances: NDArray[np.float64], threshold: int) -> _Scan:
        """Look at a scan at the threshold of the whole dataset.

        Args:
            measured: the scan.
            distances: of its slices (NaN, inf: see hausdorff).
            threshold: of the whole dataset.
        """
        histogram = measured.histograms["slice"]
        known = np.isfinite(distances)
        total, both = float(distances[known].sum()), int(known.sum())
        shown = int((~np.isnan(distances)).sum())
        values = {
            "auprc": average_precision(histogram),
            "prevalence": histogram.prevalence,
            "max_dice": dice_at(histogram, threshold),
            "hd": _ratio(total, both),
            "hd_coverage": _ratio(both, shown),
        }
        scores = replace(measured.scores, metrics=values)
        lesion = histogram.lesion_voxels
        voxels = lesion + histogram.healthy_voxels
        return cls(measured, lesion, voxels, total, both, shown, scores)


class _People(Sequence[ScoreHistogram]):
    """The histogram of each person, which is pooled from the scans when it is used."""

    def __init__(self, people: Sequence[Sequence[_Scan]]) -> None:
        self._people = people

    def __getitem__(self, at: Any) -> Any:
        own = [one.measured.histograms["slice"] for one in self._people[at]]
        return own[0] if len(own) == 1 else ScoreHistogram.pooled(own)

    def __len__(self) -> int:
        return len(self._people)


def measure_paper(scan: ScoredScan, _: ScoreHistogram | None) -> MeasuredScan:
    """Count the scores of one scan. Its distances need the threshold of the whole dataset."""
    scores = ScanScores(subject=scan.subject, session=scan.session, metrics={})
    return MeasuredScan(scores, {"slice": scan.whole_slice_histogram()})


def combine_paper(
    measured: Sequence[MeasuredScan],
    source: ScanSource,
    _: ScoreHistogram | None,
) -> Evaluation:
    """Pool the voxels of all scans, search the threshold, and read the scans again for distances.

    Args:
        measured: the scans of the dataset.
        source: the same scans.
    """
    pooled = ScoreHistogram.pooled(one.histograms["slice"] for one in measured)
    best = max_dice(pooled)
    threshold = NOTHING if best is None else best[1]
    scans = [
        _Scan.of(one, slice_distances(scan.predicted(threshold), scan.lesion_mask), threshold)
        for one, scan in zip(measured, source(), strict=True)
    ]
    return Evaluation(
        metrics=_metrics(scans, pooled, None if best is None else best[0]),
        scans=tuple(scan.scores for scan in scans),
        thresholds={} if best is None else {"max_dice": as_score(threshold)},
        histograms=named_histograms(measured),
    )


def _metrics(
    scans: Sequence[_Scan], pooled: ScoreHistogram, dice: float | None
) -> dict[str, Metric]:
    """The numbers of the dataset with their intervals."""
    found: dict[str, list[_Scan]] = {}
    for scan in scans:
        found.setdefault(scan.scores.subject, []).append(scan)
    people = list(found.values())
    intervals = pooled_intervals(_People(people))
    lesions = [sum(scan.lesion_voxels for scan in own) for own in people]
    voxels = [sum(scan.voxels for scan in own) for own in people]
    sums = [sum(scan.distance_sum for scan in own) for own in people]
    both = [sum(scan.with_both for scan in own) for own in people]
    shown = [sum(scan.with_any for scan in own) for own in people]
    values = {
        "auprc": (average_precision(pooled), intervals.average_precision),
        "prevalence": (pooled.prevalence, ratio_interval(lesions, voxels, "share")),
        "max_dice": (dice, intervals.max_dice),
        "hd": (_ratio(sum(sums), sum(both)), ratio_interval(sums, both, "amount")),
        "hd_coverage": (_ratio(sum(both), sum(shown)), ratio_interval(both, shown, "share")),
    }
    skipped = {
        "hd": sum(scan.with_both == 0 for scan in scans),
        "hd_coverage": sum(scan.with_any == 0 for scan in scans),
    }
    return {
        one.name: one.of(*values[one.name], skipped=skipped.get(one.name, 0)) for one in _METRICS
    }


def _ratio(above: float, below: float) -> float | None:
    """A ratio, or ``None`` where nothing stands below."""
    return above / below if below else None


PAPER = Protocol(
    name="paper",
    version=2,
    caption="Protocol paper, version 2: voxels pooled over all slices that show brain.",
    description=(
        "What the SPA paper most likely did. All voxels of all slices that show brain, "
        "background included, are pooled over the dataset for average precision and for the "
        "maximum Dice, whose threshold is searched on the test labels. At that threshold the "
        "Hausdorff distance of each slice is taken in pixels and averaged over the slices "
        "that show both lesion and prediction; hd_coverage is their share of the slices that "
        "show either, and stands wherever the distance does. Intervals are Student's t on a "
        "logit or, for hd, a log scale, with the standard error of a jackknife over subjects."
    ),
    metrics=_METRICS,
    measure=measure_paper,
    combine=combine_paper,
    reads_again=True,
)
