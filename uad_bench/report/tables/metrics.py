"""How metrics are called in print, and which of them a table shows."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

from uad_bench.cells import CellRecord, EvaluationSpace, ProtocolName
from uad_bench.errors import UadBenchError

TITLES = {
    "auprc": "AUPRC",
    "prevalence": "Prevalence of lesion voxels",
    "auprc_slice": "AUPRC over whole slices",
    "prevalence_slice": "Prevalence over whole slices",
    "dice": "Dice at 1 % FPR",
    "dice_fpr5": "Dice at 5 % FPR",
    "max_dice": "max Dice (upper bound)",
    "surface_dice": "Surface Dice",
    "hd": "HD",
    "hd95": "HD95",
    "hd_coverage": "Share of slices with an HD",
    "fpr": "FPR on test scans",
    "lesion_f1": "Lesion F1",
    "panoptic_quality": "Panoptic quality",
    "lesion_recall": "Lesion recall",
    "lesion_recall_small": "Lesion recall below 0.1 ml",
    "lesion_recall_medium": "Lesion recall, 0.1 to 1 ml",
    "lesion_recall_large": "Lesion recall from 1 ml on",
    "false_findings": "False findings",
    "healthy_volume": "False-positive volume in healthy people",
    "patient_auroc": "Detection of patients: AUROC",
    "patient_auprc": "Detection of patients: AUPRC",
    "patient_prevalence": "Share of patients",
    "patient_sensitivity": "Sensitivity at 1 false alarm in 10 healthy people",
}
"""What tables call a metric; its definition is in the caption and on the metrics page."""

DEFAULTS = {
    "strict": ("auprc", "dice", "max_dice", "surface_dice", "lesion_f1"),
    "paper": ("auprc", "max_dice", "hd", "hd_coverage"),
    "published": ("auprc", "max_dice", "hd"),
}
"""The metrics of a table, by protocol.

Those of ``strict`` put no control that sees no image first (``benchmarks/controls_ranks.py``);
the others are those of the paper's Tables 2, 4 and 5.
"""

DETECTION = ("patient_auroc", "patient_auprc", "patient_sensitivity")
"""Metrics that stand in the default table of any protocol where a dataset has a value for them."""

DETECTION_NOTE = (
    "Detection of patients: a subject's score is the mean of the highest 1 % of the scores in the "
    "brain, compared with healthy test subjects, from whom the threshold of the sensitivity comes."
)
"""What a table says of them."""

PREVALENCE = {
    "auprc": "prevalence",
    "auprc_slice": "prevalence_slice",
    "patient_auprc": "patient_prevalence",
}
"""The metric that says what a constant score reaches; it stands beside the metric itself."""

_NEVER_ALONE = {"hd": "hd_coverage"}
"""A metric over a part of the slices, and the one that says how large that part is."""

_UNDEFINED = {
    "healthy_volume": "not of a healthy subject",
    "hd_coverage": "no slice with lesion or prediction",
    "fpr": "no healthy voxel",
    "lesion_recall_small": "no lesion below 0.1 ml",
    "lesion_recall_medium": "no lesion of 0.1 to 1 ml",
    "lesion_recall_large": "no lesion of 1 ml or more",
}


def why_undefined(metric: str, unit: str) -> str:
    """Why a metric has no value for some scans, in words.

    Args:
        metric: its name.
        unit: its unit; ``px`` is the distance per slice, ``mm`` that per scan.
    """
    if metric == "hd" and unit == "px":
        return "no slice with both lesion and prediction"
    return _UNDEFINED.get(metric, "no lesion in the mask")


Kind = tuple[ProtocolName, EvaluationSpace]
"""What a table is of."""


def metrics_by_kind(
    asked: Sequence[str], kinds: Iterable[Kind], records: Sequence[CellRecord]
) -> dict[Kind, tuple[str, ...]]:
    """The asked metrics that each table can show; a table that can show none is left out.

    Args:
        asked: names.
        kinds: the tables.
        records: what there is to show; at least one.

    Raises:
        UadBenchError: if an asked metric is in none of the tables.
    """
    known: dict[Kind, set[str]] = {kind: set() for kind in kinds}
    for record in records:
        known.get((record.spec.protocol, record.spec.space), set()).update(record.metrics)
    protocols = " or ".join(dict.fromkeys(protocol for protocol, _ in known))
    _refuse_unknown(asked, set().union(*known.values()), protocols)
    shown = {kind: tuple(name for name in asked if name in known[kind]) for kind in known}
    return {kind: names for kind, names in shown.items() if names}


def chosen_metrics(
    asked: Iterable[str] | None, protocol: str, records: Iterable[CellRecord]
) -> tuple[str, ...]:
    """The metrics a table shows.

    Args:
        asked: names, or ``None`` for the protocol's own.
        protocol: ``strict``, ``paper``, or ``published`` for the paper's numbers alone.
        records: what there is to show.

    Returns:
        The names in order. A metric that says little alone is followed by the one that it needs.

    Raises:
        UadBenchError: if an asked metric is in none of the records.
    """
    records = list(records)
    known = {name for record in records for name in record.metrics}
    if protocol == "published":
        known = set(DEFAULTS["published"])
    if asked is None:
        shown = tuple(name for name in DEFAULTS[protocol] if name in known) or ("auprc",)
        return (*shown, *(name for name in DETECTION if _has_value(name, records)))
    names = tuple(dict.fromkeys(asked))
    _refuse_unknown(names, known, protocol)
    return tuple(dict.fromkeys(_accompanied(names, known)))


def _refuse_unknown(names: Iterable[str], known: Iterable[str], protocol: str) -> None:
    known = set(known)
    for name in names:
        if name not in known:
            available = ", ".join(sorted(known)) or "none, because every cell failed"
            raise UadBenchError(
                f"--metrics {name}: not in the results of protocol {protocol}; "
                f"available: {available}"
            )


def _has_value(name: str, records: Iterable[CellRecord]) -> bool:
    """Whether any record has a number for this metric."""
    metrics = (record.metrics.get(name) for record in records)
    return any(metric is not None and metric.value is not None for metric in metrics)


def _accompanied(names: Iterable[str], known: Container[str]) -> Iterator[str]:
    """The names, each followed by the one that it must not stand without."""
    for name in names:
        yield name
        if (other := _NEVER_ALONE.get(name)) is not None and other in known:
            yield other
