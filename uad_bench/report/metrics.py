"""How metrics are called in print, and which of them a table shows when nobody says."""

from __future__ import annotations

from collections.abc import Iterable

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError

TITLES = {
    "auprc": "AUPRC",
    "auprc_slice": "AUPRC over whole slices",
    "dice": "Dice at 1 % FPR",
    "dice_fpr5": "Dice at 5 % FPR",
    "max_dice": "max Dice (upper bound)",
    "hd": "HD",
    "hd95": "HD95",
    "hd_coverage": "Share of slices with an HD",
    "fpr": "FPR on test scans",
    "lesion_recall": "Lesion recall",
    "lesion_precision": "Lesion precision",
}
"""What tables call a metric; its definition is in the caption and on the metrics page."""

DEFAULTS = {
    "strict": ("auprc", "dice", "max_dice", "hd95"),
    "paper": ("auprc", "max_dice", "hd"),
    "published": ("auprc", "max_dice", "hd"),
}
"""The metrics of a table, by protocol: those of the paper's Tables 2, 4 and 5."""


def chosen_metrics(
    asked: Iterable[str] | None, protocol: str, records: Iterable[CellRecord]
) -> tuple[str, ...]:
    """The metrics a table shows.

    Args:
        asked: names, or ``None`` for the protocol's own.
        protocol: ``strict``, ``paper``, or ``published`` for the paper's numbers alone.
        records: what there is to show.

    Raises:
        UadBenchError: if an asked metric is in none of the records.
    """
    known = {name for record in records for name in record.metrics}
    if protocol == "published":
        known = set(DEFAULTS["published"])
    if asked is None:
        return tuple(name for name in DEFAULTS[protocol] if name in known) or ("auprc",)
    names = tuple(dict.fromkeys(asked))
    for name in names:
        if name not in known:
            available = ", ".join(sorted(known)) or "none, because every cell failed"
            raise UadBenchError(
                f"--metrics {name}: not in the results of protocol {protocol}; "
                f"available: {available}"
            )
    return names
