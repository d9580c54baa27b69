"""The records of cells as data frames: one row per cell and metric, one per scan and metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from uad_bench.cells import CellRecord, DatasetUse

if TYPE_CHECKING:
    import pandas as pd

_CELL = (
    "method",
    "title",
    "group",
    "supervised_on",
    "dataset",
    "protocol",
    "postprocessing",
    "space",
    "seed",
    "params",
)
"""The columns that say which cell a row is of."""

_DATA = ("simulated", "elsewhere", "training", "recipe")
_TRAITS = ("site", "scanner", "age", "sex", "lesion_ml", "lesions")
_NUMBER = ("value", "low", "high", "unit", "better", "subjects", "penalised", "skipped")


def cells_frame(records: Sequence[CellRecord]) -> pd.DataFrame:
    """One row per cell and metric; a failed cell is one row without a metric, with its reason.

    Args:
        records: the cells.

    Returns:
        ``params`` is the hash of a method's parameters. Each parameter has a column of its own,
        ``param.NAME``, that is empty for methods without it.
    """
    names = sorted({name for record in records for name in record.spec.params})
    params = tuple(f"param.{name}" for name in names)
    columns = (*_CELL, *_DATA, "metric", *_NUMBER, "state", "reason", *params)
    frame = _frame([row for record in records for row in _cell_rows(record)], columns)
    for name in params:
        frame[name] = frame[name].convert_dtypes()  # a whole number stays one beside an empty cell
    return frame


def scans_frame(records: Sequence[CellRecord]) -> pd.DataFrame:
    """One row per cell, scan and metric, of the cells that finished.

    Args:
        records: the cells.
    """
    rows = [
        {
            **_cell(record),
            "subject": scan.subject,
            "session": scan.session,
            **traits.get((scan.subject, scan.session), {}),
            "metric": metric,
            "value": value,
        }
        for record in records
        for traits in [_traits(record)]
        for scan in record.scans
        for metric, value in scan.metrics.items()
    ]
    return _frame(rows, (*_CELL, "simulated", "subject", "session", *_TRAITS, "metric", "value"))


def _traits(record: CellRecord) -> dict[tuple[str, str | None], dict[str, Any]]:
    """What each scan of a cell can be grouped by."""
    return {
        (one.subject, one.session): {name: getattr(one, name) for name in _TRAITS}
        for one in record.traits
    }


def _frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(columns))
    numbers = [name for name in ("value", "low", "high") if name in columns]
    return frame.astype(dict.fromkeys(numbers, float))


def _cell_rows(record: CellRecord) -> Iterator[dict[str, Any]]:
    cell = {
        **_cell(record),
        "elsewhere": record.maps is not None,
        "training": _title(record.training),
        "recipe": None if record.data is None else record.data.recipe,
        "state": record.state,
        "reason": record.reason,
        **{f"param.{name}": value for name, value in record.spec.params.items()},
    }
    if not record.metrics:
        yield cell
    for name, metric in record.metrics.items():
        yield {**cell, "metric": name, **{key: getattr(metric, key) for key in _NUMBER}}


def _cell(record: CellRecord) -> dict[str, Any]:
    spec = record.spec
    return {
        "method": spec.method,
        "title": record.method_title,
        "group": record.group,
        "supervised_on": spec.supervised_on,
        "dataset": spec.dataset,
        "protocol": spec.protocol,
        "postprocessing": spec.postprocessing,
        "space": spec.space,
        "seed": spec.seed,
        "params": spec.params_hash,
        "simulated": record.simulated,
    }


def _title(use: DatasetUse | None) -> str | None:
    return None if use is None else use.title or use.dataset
