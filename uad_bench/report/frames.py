"""The records of cells as data frames: one row per cell and metric, one per scan and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from operator import attrgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from uad_bench.cells import CellRecord, DatasetUse
from uad_bench.system.collector import collector_paused

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
_PARAM = "param."
_FLOATS = ("value", "low", "high")
_WORDS = ("metric", "unit", "better")
_NO_METRIC = SimpleNamespace(**dict.fromkeys(_NUMBER, nan))


@collector_paused()
def cells_frame(records: Sequence[CellRecord]) -> pd.DataFrame:
    """One row per cell and metric; a failed cell is one row without a metric, with its reason.

    Args:
        records: the cells.

    Returns:
        ``params`` is the hash of a method's parameters. Each parameter has a column of its own,
        ``param.NAME``, that is empty for methods without it.
    """
    counts = [len(record.metrics) or 1 for record in records]
    names = [name for record in records for name in record.metrics or (nan,)]
    metrics = [one for record in records for one in record.metrics.values() or (_NO_METRIC,)]
    numbers: dict[str, Sequence[Any]] = {"metric": names}
    numbers |= {key: list(map(attrgetter(key), metrics)) for key in _NUMBER}
    columns = (*_CELL, *_DATA, "metric", *_NUMBER, "state", "reason")
    facts = [_facts(record) for record in records]
    params = {
        fact["params"]: record.spec.params for fact, record in zip(facts, records, strict=True)
    }
    return _frame(facts, counts, numbers, columns, params)


@collector_paused()
def scans_frame(records: Sequence[CellRecord]) -> pd.DataFrame:
    """One row per cell, scan and metric, of the cells that finished.

    Args:
        records: the cells.
    """
    facts, counts = list[dict[str, Any]](), list[int]()
    numbers: dict[str, list[Any]] = {"metric": [], "value": []}
    for record in records:
        cell, traits = _cell(record), _traits(record)
        for scan in record.scans:
            who = scan.subject, scan.session
            facts.append({**cell, "subject": who[0], "session": who[1], **traits.get(who, {})})
            counts.append(len(scan.metrics))
            numbers["metric"] += scan.metrics.keys()
            numbers["value"] += scan.metrics.values()
    columns = (*_CELL, "simulated", "subject", "session", *_TRAITS, "metric", "value")
    return _frame(facts, counts, numbers, columns)


def _traits(record: CellRecord) -> dict[tuple[str, str | None], dict[str, Any]]:
    """What each scan of a cell can be grouped by."""
    return {
        (one.subject, one.session): {name: getattr(one, name) for name in _TRAITS}
        for one in record.traits
    }


def _frame(
    facts: Sequence[Mapping[str, Any]],
    counts: Sequence[int],
    numbers: Mapping[str, Sequence[Any]],
    columns: Sequence[str],
    params: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Repeat facts beside numbers. Dictionaries of every row would take ten times as long.

    Args:
        facts: of each cell or scan.
        counts: how many rows of numbers each of them has.
        numbers: the rows, by column.
        columns: of the frame, in order.
        params: parameters by hash, which get columns of their own behind the others.
    """
    import numpy as np
    import pandas as pd

    known = pd.DataFrame(facts, columns=[name for name in columns if name not in numbers])
    if params is not None:
        known = _with_params(known, params)
    rows = np.repeat(np.arange(len(facts)), counts)
    found: dict[Any, Any] = {name: known[name].array.take(rows) for name in known}
    for name, values in numbers.items():
        kind = float if name in _FLOATS else None
        found[name] = _words(values) if name in _WORDS else np.array(values, dtype=kind)
    order = dict.fromkeys((*columns, *found))
    return pd.DataFrame({name: found[name] for name in order}, copy=False)


def _with_params(facts: pd.DataFrame, params: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Add a column per parameter. Thousands of cells share a few sets of them, known by hash."""
    import pandas as pd

    names = sorted({name for some in params.values() for name in some})
    known = pd.DataFrame(list(params.values()), columns=names).add_prefix(_PARAM)
    known = known.convert_dtypes()  # a whole number stays one beside an empty cell
    rows = pd.Index(params).get_indexer(pd.Index(facts["params"]))
    return pd.concat([facts, known.take(rows).reset_index(drop=True)], axis="columns")


def _words(values: Sequence[Any]) -> pd.Series:
    """A column of a few words, each many times. One by one they would take four times as long."""
    import numpy as np
    import pandas as pd

    places = {word: at for at, word in enumerate(dict.fromkeys(values))}
    at = np.fromiter(map(places.__getitem__, values), dtype=np.intp, count=len(values))
    return pd.Series(list(places)).take(at).reset_index(drop=True)


def _facts(record: CellRecord) -> dict[str, Any]:
    """What each row of a cell says of it."""
    return {
        **_cell(record),
        "elsewhere": record.maps is not None,
        "training": _title(record.training),
        "recipe": None if record.data is None else record.data.recipe,
        "state": record.state,
        "reason": record.reason,
    }


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
