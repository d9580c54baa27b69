"""The named, versioned protocols: what each one says, and the evaluation under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.histograms import ScoreHistogram
from uad_bench.evaluation.paper import evaluate_paper
from uad_bench.evaluation.scored import Evaluation, ScanSource, ScoredScan
from uad_bench.evaluation.strict import evaluate_strict

__all__ = [
    "PROTOCOLS",
    "Evaluation",
    "Protocol",
    "ScanSource",
    "ScoredScan",
    "evaluate",
    "validation_histogram",
]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One way to evaluate.

    Attributes:
        name: the name on the command line.
        version: raised whenever a number could change.
        description: what it does, in one paragraph.
        caption: what a table's caption says of it, plain text.
        metrics: the names of the numbers it reports, in the order of its tables.
    """

    name: str
    version: int
    description: str
    caption: str
    metrics: tuple[str, ...]


PROTOCOLS: dict[str, Protocol] = {
    "strict": Protocol(
        name="strict",
        version=2,
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
        caption=(
            "Protocol strict, version 2: means over patients; threshold at a false-positive rate "
            "of 1 % on healthy validation scans; maximum Dice is an upper bound searched on test "
            "labels; surface Dice within 2 mm in 3D; lesions and findings matched one to one from "
            "an IoU of 0.25 on."
        ),
        metrics=(
            "auprc",
            "prevalence",
            "auprc_slice",
            "prevalence_slice",
            "dice",
            "dice_fpr5",
            "max_dice",
            "surface_dice",
            "hd95",
            "hd",
            "fpr",
            "lesion_f1",
            "panoptic_quality",
            "lesion_recall",
            "lesion_recall_small",
            "lesion_recall_medium",
            "lesion_recall_large",
            "false_findings",
            "healthy_volume",
            "patient_auroc",
            "patient_auprc",
            "patient_prevalence",
            "patient_sensitivity",
        ),
    ),
    "paper": Protocol(
        name="paper",
        version=2,
        description=(
            "What the SPA paper most likely did. All voxels of all slices that show brain, "
            "background included, are pooled over the dataset for average precision and for the "
            "maximum Dice, whose threshold is searched on the test labels. At that threshold the "
            "Hausdorff distance of each slice is taken in pixels and averaged over the slices "
            "that show both lesion and prediction; hd_coverage is their share of the slices that "
            "show either, and stands wherever the distance does. Intervals are Student's t on a "
            "logit or, for hd, a log scale, with the standard error of a jackknife over subjects."
        ),
        caption=(
            "Protocol paper, version 2: voxels pooled over all slices that show brain; maximum "
            "Dice with the threshold searched on test labels; mean 2D Hausdorff distance in "
            "pixels at that threshold, over the slices that show both lesion and prediction."
        ),
        metrics=("auprc", "prevalence", "max_dice", "hd", "hd_coverage"),
    ),
}
"""The protocols by name; the first is the default."""


def validation_histogram(scans: Iterable[ScoredScan]) -> ScoreHistogram:
    """The pooled in-brain scores of healthy validation scans, from which thresholds come."""
    return sum((scan.brain_histogram() for scan in scans), ScoreHistogram.empty())


def evaluate(protocol: str, scans: ScanSource, validation: ScoreHistogram | None) -> Evaluation:
    """Evaluate one detector's scores on one dataset.

    Args:
        protocol: ``strict`` reads the scans once, ``paper`` twice.
        scans: called to start reading; must yield the same scans every time, so that no more
            than one has to be in memory.
        validation: in-brain scores of healthy validation scans; ``paper`` does not use them, and
            ``strict`` leaves out what needs a threshold without them.

    Raises:
        UadBenchError: if there are no scans, two have one name, or a threshold needs healthy
            validation voxels and there are none.
    """
    if protocol not in PROTOCOLS:
        raise UadBenchError(f"Unknown protocol {protocol!r}. Available: {', '.join(PROTOCOLS)}.")
    checked = _checked(scans)
    if protocol == "paper":
        return evaluate_paper(checked)
    return evaluate_strict(checked, validation)


def _checked(scans: ScanSource) -> ScanSource:
    """The same source, refusing an empty dataset and two scans of one name."""

    def source() -> Iterable[ScoredScan]:
        names: set[str] = set()
        for scan in scans():
            if scan.name in names:
                raise UadBenchError(
                    f"two scans are called {scan.name}: give every scan of a subject its own "
                    "session"
                )
            names.add(scan.name)
            yield scan
        if not names:
            raise UadBenchError(
                "there is no scan to evaluate: `uad-bench data` shows what was found"
            )

    return lambda: iter(source())
