"""Means over patients, the threshold from healthy validation scans, distances in 3D and mm."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import prod

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.masks.hausdorff import SurfaceDistance, box_diagonal, surface_distance
from uad_bench.evaluation.masks.lesions import SIZES, LesionMatch, match_lesions
from uad_bench.evaluation.protocol import MetricInfo, Protocol
from uad_bench.evaluation.protocols._strict_metrics import (
    DETECTION,
    FPR,
    METRICS,
    NEED_THRESHOLD,
    NO_GROUPS,
    NO_THRESHOLD,
)
from uad_bench.evaluation.scored import (
    Evaluation,
    MeasuredScan,
    ScanSource,
    ScoredScan,
    as_score,
    named_histograms,
)
from uad_bench.evaluation.scores.histograms import (
    ScoreHistogram,
    average_precision,
    dice_at,
    dice_curve,
    false_positive_rate,
    largest_argmax,
    threshold_at_fpr,
)
from uad_bench.evaluation.scores.tally import LEVELS
from uad_bench.evaluation.statistics.detection import Person, detect, patient_score
from uad_bench.evaluation.statistics.intervals import (
    Interval,
    Scale,
    auroc_interval,
    best_mean_interval,
    mean_interval,
)
from uad_bench.evaluation.statistics.people import subject_means
from uad_bench.evaluation.values import Metric, ScanScores

__all__ = ["FPR", "STRICT"]


@dataclass(frozen=True, slots=True)
class _Thresholds:
    """Scores that 1 % and 5 % of the healthy validation voxels reach."""

    fpr1: int
    fpr5: int

    @classmethod
    def of(cls, validation: ScoreHistogram) -> _Thresholds:
        return cls(threshold_at_fpr(validation, FPR), threshold_at_fpr(validation, 0.05))


@dataclass(frozen=True, slots=True, eq=False)
class _BestThreshold:
    """The common threshold with the largest mean Dice, and the interval of this Dice."""

    threshold: int
    interval: Interval | None


def measure_strict(scan: ScoredScan, validation: ScoreHistogram | None) -> MeasuredScan:
    """Measure one scan: all but its Dice at the common threshold, which needs all scans.

    Args:
        scan: the scan.
        validation: in-brain scores of healthy validation scans, which set the thresholds. Without
            them, what needs a threshold is missing.

    Raises:
        UadBenchError: if the validation histogram has no healthy voxel.
    """
    thresholds = None if validation is None else _Thresholds.of(validation)
    brain, whole = scan.brain_histogram(), scan.whole_slice_histogram()
    values: dict[str, float | None] = {
        **dict.fromkeys(one.name for one in METRICS),
        "auprc": average_precision(brain),
        "prevalence": brain.prevalence,
        "auprc_slice": average_precision(whole),
        "prevalence_slice": whole.prevalence,
        "patient_score": patient_score(brain, int((scan.lesion_mask & ~scan.brain).sum())),
    }
    penalised = frozenset[str]()
    if thresholds is not None:
        prediction = scan.volume(scan.predicted(thresholds.fpr1) & scan.brain)
        lesion = scan.volume(scan.lesion_mask)
        distance = _distance(scan, prediction, lesion)
        values |= {
            "dice": dice_at(brain, thresholds.fpr1),
            "dice_fpr5": dice_at(brain, thresholds.fpr5),
            "surface_dice": None if distance is None else distance.dice,
            "hd95": None if distance is None else distance.hd95,
            "hd": None if distance is None else distance.hd,
            "fpr": false_positive_rate(brain, thresholds.fpr1),
            "healthy_volume": int(prediction.sum()) * prod(scan.spacing) / 1000.0,
            **_lesion_wise(match_lesions(prediction, lesion, scan.spacing)),
        }
        silent = distance is not None and distance.missing == "prediction"
        penalised = frozenset({"hd", "hd95"} if silent else ())
    scores = ScanScores(subject=scan.subject, session=scan.session, metrics=values)
    return MeasuredScan(scores, {"brain": brain, "slice": whole}, scan.healthy, penalised)


def combine_strict(
    measured: Sequence[MeasuredScan],
    _: ScanSource,
    validation: ScoreHistogram | None,
) -> Evaluation:
    """Combine measured scans: means over patients, and the threshold that all have in common.

    Args:
        measured: the scans of the dataset.
        validation: what they were measured with.
    """
    best = _best_threshold(measured)
    patients = {scan.scores.subject for scan in measured if not scan.healthy}
    scans = tuple(_completed(scan, best.threshold, patients) for scan in measured)
    penalised = [name for scan in measured for name in scan.penalised]
    metrics = {
        one.name: _metric(
            scans,
            one,
            penalised.count(one.name),
            best.interval if one.name == "max_dice" else _interval(scans, one),
        )
        for one in METRICS
    }
    detection = _detection(scans, patients)
    thresholds = None if validation is None else _Thresholds.of(validation)
    known = {} if thresholds is None else {"fpr1": thresholds.fpr1, "fpr5": thresholds.fpr5}
    return Evaluation(
        metrics=metrics | detection,
        scans=scans,
        thresholds={
            name: as_score(threshold)
            for name, threshold in {**known, "max_dice": best.threshold}.items()
        },
        histograms=named_histograms(measured),
        missing={
            **({} if thresholds else dict.fromkeys(NEED_THRESHOLD, NO_THRESHOLD)),
            **{name: NO_GROUPS for name, metric in detection.items() if metric.value is None},
        },
    )


def _distance(
    scan: ScoredScan, prediction: NDArray[np.bool_], lesion: NDArray[np.bool_]
) -> SurfaceDistance | None:
    """The distances of a scan with lesions; ``None`` without, whatever was predicted there."""
    if not lesion.any():
        return None
    farthest = box_diagonal(scan.volume(scan.brain | scan.lesion_mask), scan.spacing)
    return surface_distance(prediction, lesion, scan.spacing, penalty=farthest)


def _lesion_wise(found: LesionMatch) -> dict[str, float | None]:
    """The numbers that count lesions and findings instead of voxels."""
    by_size = {f"lesion_recall_{name}": found.recall(*limits) for name, limits in SIZES.items()}
    return {
        "lesion_f1": found.f1,
        "panoptic_quality": found.panoptic_quality,
        "lesion_recall": found.recall(),
        **by_size,
        "false_findings": float(found.false_findings),
    }


def _best_threshold(scans: Sequence[MeasuredScan]) -> _BestThreshold:
    """Search the common threshold that gives the largest mean Dice over subjects.

    Between two levels that lesion voxels have, a higher threshold only removes false positives
    and lowers nobody's Dice: the search over those levels is a search over all. Of several best
    thresholds the largest is taken.
    """
    subjects: dict[str, list[MeasuredScan]] = {}
    for scan in scans:
        if scan.histograms["brain"].lesion_voxels:
            subjects.setdefault(scan.scores.subject, []).append(scan)
    diseased = (scan.histograms["brain"] for scan in chain(*subjects.values()))
    levels = ScoreHistogram.pooled(diseased).lesion.levels
    levels = levels[levels > 0]
    if not len(levels):
        return _BestThreshold(LEVELS - 1, None)

    def curves() -> Iterator[NDArray[np.float64]]:
        for own in subjects.values():
            yield np.mean([dice_curve(one.histograms["brain"], levels) for one in own], axis=0)

    mean = sum(curves(), np.zeros(1)) / len(subjects)
    return _BestThreshold(int(levels[largest_argmax(mean)]), best_mean_interval(curves))


def _completed(scan: MeasuredScan, threshold: int, patients: Container[str]) -> ScanScores:
    """The scan's numbers with what only all scans together tell filled in.

    That is its Dice at the common threshold and, where all scans of the subject are healthy, the
    volume that was predicted in it.
    """
    volume = scan.scores.metrics["healthy_volume"]
    filled = {
        "max_dice": dice_at(scan.histograms["brain"], threshold),
        "healthy_volume": None if scan.scores.subject in patients else volume,
    }
    return replace(scan.scores, metrics={**scan.scores.metrics, **filled})


def _detection(scans: Sequence[ScanScores], patients: Container[str]) -> dict[str, Metric]:
    """How well the scores of subjects tell patients from healthy people; no values without both."""
    scores = subject_means(scans, "patient_score")
    found = detect(Person(score, name not in patients) for name, score in scores.items())
    if found is None:
        return {one.name: one.of(None) for one in DETECTION}
    people = found.patients + found.healthy
    area = auroc_interval(found.auroc, found.patients, found.healthy)
    values = (found.auroc, found.auprc, found.prevalence, found.sensitivity)
    intervals = (area, None, None, None)
    return {
        one.name: one.of(value, interval, subjects=people)
        for one, value, interval in zip(DETECTION, values, intervals, strict=True)
    }


def _interval(scans: Sequence[ScanScores], metric: MetricInfo) -> Interval | None:
    """The interval of the mean of a metric over subjects."""
    scale: Scale = "amount" if metric.unit else "share"
    return mean_interval(list(subject_means(scans, metric.name).values()), scale)


def _metric(
    scans: Sequence[ScanScores], metric: MetricInfo, penalised: int, interval: Interval | None
) -> Metric:
    """The mean of a metric over subjects, with what was penalised and skipped."""
    values = list(subject_means(scans, metric.name).values())
    return metric.of(
        float(np.mean(values)) if values else None,
        interval,
        subjects=len(values),
        penalised=penalised,
        skipped=sum(scan.metrics[metric.name] is None for scan in scans),
    )


STRICT = Protocol(
    name="strict",
    version=2,
    caption="Protocol strict, version 2: means over patients.",
    description=(
        "Every number is computed per scan inside the brain, averaged over the sessions of a "
        "subject and then over subjects. The threshold is the score that 1 % (5 % for "
        "dice_fpr5) of the healthy voxels of the validation scans reach; test labels never "
        "choose it, except for max_dice, which is named an upper bound. Surface Dice counts "
        "what lies within 2 mm; Hausdorff distances are in mm between 3D surfaces. Where a "
        "scan has lesions and the prediction is empty, surface Dice is 0 and the distance is "
        "the diagonal of the brain's bounding box, which is counted. Lesions and findings are "
        "matched one to one from an intersection over union of 0.25 on. Scans without lesion "
        "enter only what counts false positives. A patient's score, the mean of the highest "
        "1 % of the scores in the brain, is compared with that of healthy test subjects, who "
        "also set the threshold of patient_sensitivity. Intervals are Student's t over "
        "subjects on a logit or, for amounts, a log scale."
    ),
    metrics=(*METRICS, *DETECTION),
    measure=measure_strict,
    combine=combine_strict,
)
