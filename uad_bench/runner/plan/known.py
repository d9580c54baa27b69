"""The cells of a results folder, to be found by what was planned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import attrgetter

from uad_bench.cells import CellRecord, CellSpec
from uad_bench.runner.plan.plan import PlannedCell
from uad_bench.study_record import StudyRecord

_place = attrgetter(*(name for name in CellSpec.model_fields if name != "params"))
"""What names a planned cell, or a cell's spec, but for its parameters."""


class KnownCells:
    """Cells of a results folder, to be found by what was planned.

    Args:
        records: the cells.
        studies: the studies of the folder.
    """

    def __init__(self, records: Iterable[CellRecord], studies: Iterable[StudyRecord] = ()) -> None:
        self._chosen = tuple(study.params for study in studies)
        self._by_place: defaultdict[tuple[object, ...], list[CellRecord]] = defaultdict(list)
        for record in records:
            self._by_place[_place(record.spec)].append(record)

    def of(self, cell: PlannedCell) -> tuple[CellRecord, ...]:
        """The records of a planned cell after tuning, by any code."""
        params = cell.params.items()
        there = self._by_place.get(_place(cell), ())
        return tuple(one for one in there if params <= one.spec.params.items())

    def find(self, cell: PlannedCell) -> CellRecord | None:
        """The record of a planned cell; a finished one before a failed one.

        What a run without tuning left is none of a cell whose parameters are to be tuned, unless a
        study chose the same.
        """
        found = [
            one
            for one in self.of(cell)
            if one.code == cell.code and not self._lacks_tuning(one, cell)
        ]
        return min(found, key=lambda record: record.state != "done", default=None)

    def is_done(self, cell: PlannedCell) -> bool:
        """Whether a planned cell is finished."""
        record = self.find(cell)
        return record is not None and record.state == "done"

    def _lacks_tuning(self, record: CellRecord, cell: PlannedCell) -> bool:
        """Whether a cell has parameters that tuning is to choose, and nothing chose them."""
        open_ = [value for name, value in record.spec.params.items() if name not in cell.params]
        if not open_ or record.fit is None or record.fit.studies:
            return False
        # Of an ensemble, the parameters of its members are tuned.
        parts = [one for one in open_ if isinstance(one, Mapping)] or [record.spec.params]
        return not all(
            any(chosen.items() <= part.items() for chosen in self._chosen) for part in parts
        )
