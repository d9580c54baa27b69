"""Which cells stand on the same data or trainings, and which were tested on a part of a dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from uad_bench.cells import CellRecord
from uad_bench.report.tables.arrange import Arrangement

Places = Iterable[int]


def different_states(records: Iterable[CellRecord]) -> tuple[str, ...]:
    """Return the hashes of the manifests of one dataset's cells that do not compare, or nothing.

    A supervised method that learned from the dataset is tested on a part of it, which has a
    manifest of its own. Such cells have to agree among themselves, as all others have to.

    Args:
        records: the cells.
    """
    found: defaultdict[bool, set[str]] = defaultdict(set)
    for record in records:
        if record.data is not None:
            found[record.spec.tested_in_part].add(record.data.manifest_hash)
    return tuple(sorted(state for some in found.values() if len(some) > 1 for state in some))


def different_trainings(records: Iterable[CellRecord]) -> tuple[str, ...]:
    """Return the hashes of the manifests that the seeds of one method learned from, if several.

    Args:
        records: the finished cells of one method on one dataset.
    """
    found = {one.training.manifest_hash for one in records if one.training is not None}
    return tuple(sorted(found)) if len(found) > 1 else ()


def trainings_differ(states: Iterable[str]) -> str:
    """Say that seeds are no repetitions, because they learned from different data."""
    return (
        f"Its seeds learned from different data (manifests {', '.join(states)}), so that they are "
        "no repetitions of one training: run them again with --overwrite all."
    )


def trainings_note(arrangement: Arrangement, rows: Places, columns: Places) -> Iterator[str]:
    """Yield a sentence for each method whose seeds learned from different data.

    Args:
        arrangement: the cells.
        rows: the datasets that are shown, by position.
        columns: the methods, likewise.
    """
    places = tuple(rows)
    found = dict.fromkeys(
        f"{arrangement.columns[column].label}: {trainings_differ(states)}"
        for column in columns
        for row in places
        if (states := different_trainings(_done(arrangement.own.get((row, column), ()))))
    )
    yield from found


def _done(records: Iterable[CellRecord]) -> Iterator[CellRecord]:
    return (record for record in records if record.state == "done")


def different_data(arrangement: Arrangement, rows: Places, columns: Places) -> str:
    """Say which datasets' finished cells stand on different data; nothing where none do.

    Args:
        arrangement: the cells.
        rows: the datasets that are looked at, by position.
        columns: the methods, likewise.
    """
    mixed, places = [], tuple(columns)
    for row in rows:
        labels: dict[str, str] = {}
        records = []
        for column in places:
            for record in arrangement.own.get((row, column), ()):
                if record.state == "done" and record.data is not None:
                    records.append(record)
                    labels.setdefault(record.data.manifest_hash, arrangement.columns[column].label)
        if states := different_states(records):
            parts = ", ".join(f"{labels[state]} on {state}" for state in states)
            mixed.append(f"{arrangement.rows[row].dataset} ({parts})")
    if not mixed:
        return ""
    return (
        f"cells stand on different data and do not compare: {'; '.join(mixed)}; run them again "
        "with --overwrite all, or leave the dataset out with --datasets"
    )


def is_in_part(arrangement: Arrangement, row: int, column: int) -> bool:
    """Whether a method was tested on a part of a dataset, because it learned from the rest."""
    return any(one.spec.tested_in_part for one in arrangement.own.get((row, column), ()))


def subjects_of_part(arrangement: Arrangement, row: int, column: int) -> str:
    """Return on how many subjects such a method was tested: ``1 of 3 subjects``.

    Where nobody else was tested on the dataset, how many there are is not known: ``1 subject``.
    """
    counts: dict[bool, int] = {}
    for (at, method), some in arrangement.own.items():
        for record in some:
            in_part = record.spec.tested_in_part
            if at == row and record.data is not None and (not in_part or method == column):
                counts[in_part] = record.data.subjects
    tested, everyone = counts.get(True, 0), counts.get(False)
    if everyone is None:
        return "1 subject" if tested == 1 else f"{tested} subjects"
    return f"{tested} of {everyone} subjects"


def parts_note(arrangement: Arrangement, rows: Places, columns: Places) -> Iterator[str]:
    """Yield a sentence on the methods that were tested on a part of a dataset, if there are any.

    Args:
        arrangement: the cells.
        rows: the datasets that are shown, by position.
        columns: the methods, likewise.
    """
    places = tuple(columns)
    found = dict.fromkeys(
        f"{arrangement.columns[column].label} on {subjects_of_part(arrangement, row, column)} of "
        f"{arrangement.rows[row].label}"
        for row in rows
        for column in places
        if is_in_part(arrangement, row, column)
    )
    if found:
        yield f"Tested only on subjects who had no part in its training: {', '.join(found)}."
