"""Everything that MLflow should have of a results folder, and sending what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from uad_bench.cells import CellRecord
from uad_bench.results import ResultsFolder, load_cells
from uad_bench.study_record import StudyRecord, stored_studies
from uad_bench.tracking.cell import cell_entry
from uad_bench.tracking.command import command_entry
from uad_bench.tracking.connection import TrackingError
from uad_bench.tracking.detector import detector_entry
from uad_bench.tracking.entry import Entry
from uad_bench.tracking.tracker import Tracker
from uad_bench.tracking.trial import is_of, study_entry, trial_entries

Tables = Callable[[Sequence[CellRecord]], Mapping[str, str]]
"""Makes the tables of a command's cells, by file name."""


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What became of a results folder.

    Attributes:
        sent: names of the cells that were sent now.
        already: names of the cells that were there before.
        failed: what MLflow refused: name and reason.
    """

    sent: tuple[str, ...]
    already: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


def entries(records: Sequence[CellRecord], folder: ResultsFolder) -> Iterator[Entry]:
    """Yield what MLflow should have of some cells: trials and detectors behind them, and them.

    Args:
        records: cells of the folder, one or all.
        folder: the results folder.
    """
    studies = stored_studies(folder.tuning)
    told: set[str] = set()
    for computed in _by_command(records).values():
        parent = command_entry(computed, folder)
        for record in computed:
            if record.fit is not None and record.fit.detector not in told:
                told.add(record.fit.detector)
                for study in studies:
                    if study.name not in told and is_of(study, record.fit):
                        told.add(study.name)
                        yield from trial_entries(study, folder, parent)
                yield detector_entry(record, record.fit, folder, parent)
            yield cell_entry(record, folder, parent)


def sync(folder: ResultsFolder, tracker: Tracker, tables: Tables) -> SyncResult:
    """Send what MLflow lacks of a results folder, and end its commands.

    What MLflow refuses does not hold up the rest.

    Args:
        folder: the results folder.
        tracker: where to.
        tables: makes the tables of each command.

    Raises:
        TrackingError: if MLflow cannot be reached.
        UadBenchError: if the folder holds no cells, or one of them cannot be read.
    """
    records = load_cells(folder.root)
    alone = _studies_alone(folder, records)
    wanted = list(entries(records, folder))
    for study in alone:
        wanted += trial_entries(study, folder, study_entry(study, folder))
    missing = tracker.unsent(wanted, folder.root)
    sent, failed = [], []
    for entry in missing:
        try:
            tracker.send(entry, folder.root)
        except TrackingError as error:
            tracker.unsent((), folder.root)  # raises if it is the server that is away
            failed.append((entry.name, str(error)))
        else:
            sent.append(entry)
    for computed in _by_command(records).values():
        tracker.close(command_entry(computed, folder, tables(computed)), folder.root)
    for study in alone:
        tracker.close(study_entry(study, folder), folder.root)
    absent = {entry.key for entry in missing if entry.kind == "cell"}
    return SyncResult(
        sent=tuple(entry.key for entry in sent if entry.kind == "cell"),
        already=tuple(one.spec.name for one in records if one.spec.name not in absent),
        failed=tuple(failed),
    )


@dataclass(frozen=True, slots=True)
class Models:
    """What became of the detectors of a results folder, by name.

    Attributes:
        sent: those that were logged or registered now.
        already: those of which MLflow had all before.
    """

    sent: tuple[str, ...]
    already: tuple[str, ...]


def sync_models(folder: ResultsFolder, tracker: Tracker, *, register: bool) -> Models:
    """Log the detectors of a results folder as MLflow models, once each; controls are left out.

    Args:
        folder: the results folder, all of which was sent.
        tracker: where to.
        register: whether each becomes a version of the registered model ``uad-bench-METHOD``.

    Raises:
        TrackingError: if MLflow cannot be reached or refuses one.
        UadBenchError: if a cell cannot be read.
    """
    sent: list[str] = []
    already: list[str] = []
    for entry in entries(load_cells(folder.root), folder):
        home = folder.detectors / entry.key
        if entry.kind == "detector" and entry.tags["control"] == "false" and home.is_dir():
            name = f"uad-bench-{entry.params['method']}" if register else None
            is_new = tracker.send_model(entry, home, folder.root, name)
            (sent if is_new else already).append(entry.key)
    return Models(tuple(sent), tuple(already))


def _by_command(records: Sequence[CellRecord]) -> dict[str, list[CellRecord]]:
    """The cells of each command, in their order."""
    found: dict[str, list[CellRecord]] = {}
    for record in records:
        found.setdefault(record.run, []).append(record)
    return found


def _studies_alone(folder: ResultsFolder, records: Sequence[CellRecord]) -> tuple[StudyRecord, ...]:
    """Studies of which no cell's detector was trained."""
    fits = [record.fit for record in records if record.fit is not None]
    return tuple(
        study
        for study in stored_studies(folder.tuning)
        if not any(is_of(study, fit) for fit in fits)
    )
