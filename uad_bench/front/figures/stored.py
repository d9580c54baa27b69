"""The detectors and prepared data that are kept behind the cells of a figure."""

from __future__ import annotations

from collections.abc import Iterable

from uad_bench.cells import CellRecord, DatasetUse
from uad_bench.front.searched import Searched
from uad_bench.report.plots.source import NothingToDrawError
from uad_bench.volumes.store.prepared import PreparedDataset

Records = tuple[CellRecord, ...]
"""The cells of a place of a table: one per seed."""


def is_stored(records: Records) -> bool:
    """Whether a detector made these cells, and is kept."""
    return any(record.fit is not None and record.maps is None for record in records)


def first_seed(records: Records) -> CellRecord:
    """Return the cell of the first seed that a detector made."""
    return min(
        (record for record in records if record.fit is not None),
        key=lambda record: record.spec.seed,
    )


def data_behind(records: Iterable[CellRecord], searched: Searched, title: str) -> PreparedDataset:
    """Return the prepared dataset behind cells of one dataset, whose test scans are those of all.

    Where a method learned from the dataset, these are the people who had no part in that.

    Args:
        records: the cells.
        searched: where prepared data are.
        title: what the dataset is called.

    Raises:
        NothingToDrawError: if it is not there.
    """
    first = sorted(records, key=lambda record: not record.spec.tested_in_part)[0]
    return prepared(first.data, searched, title)


def prepared(use: DatasetUse | None, searched: Searched, title: str) -> PreparedDataset:
    """Return the prepared dataset that cells stand on.

    Raises:
        NothingToDrawError: if it is not there.
    """
    found = None if use is None else searched.prepared(use.manifest_hash)
    if found is None:
        raise NothingToDrawError(
            f"{title}: its prepared data are not in {searched.stores}; say where with --cache, or "
            "run again"
        )
    return found
