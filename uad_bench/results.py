"""The results folder: where records are, and how they are written and read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from shutil import rmtree

from pydantic import BaseModel, ValidationError

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.lean import for_tables, lean, lean_cell
from uad_bench.system.collector import collector_paused
from uad_bench.system.disk import write_whole
from uad_bench.system.locks import HeldError, held


@dataclass(frozen=True, slots=True)
class ResultsFolder:
    """Paths below one results folder. Nothing is created before something is written.

    Attributes:
        root: the folder itself.
    """

    root: Path

    @property
    def plan(self) -> Path:
        """The plan of the last run."""
        return self.root / "plan.json"

    @property
    def runs(self) -> Path:
        """The settings of each run, by the name that its cells have for it."""
        return self.root / "runs"

    @property
    def manifests(self) -> Path:
        """What each prepared dataset behind the cells is made from, by its hash."""
        return self.root / "manifests"

    @property
    def cells(self) -> Path:
        """One JSON per cell."""
        return self.root / "cells"

    @property
    def histograms(self) -> Path:
        """Score histograms, one file per cell."""
        return self.root / "histograms"

    @property
    def pictures(self) -> Path:
        """One picture per cell."""
        return self.root / "pictures"

    @property
    def detectors(self) -> Path:
        """Trained detectors, one folder each."""
        return self.root / "detectors"

    @property
    def tuning(self) -> Path:
        """Optuna journals, one per study."""
        return self.root / "tuning"

    @property
    def sweeps(self) -> Path:
        """Sweeps, one folder each."""
        return self.root / "sweeps"

    def sweep(self, method: str, param: str) -> Path:
        """The sweep of one parameter of a method."""
        return self.sweeps / f"{method}-{param}"

    @property
    def parts(self) -> Path:
        """Finished parts of evaluations that are not cells yet, one folder per evaluation."""
        return self.root / ".parts"

    @property
    def ended(self) -> Path:
        """A mark of each job of a cluster that ended, while a run goes on."""
        return self.root / ".ended"

    def cell(self, name: str) -> Path:
        """The JSON file of the cell called ``name``."""
        return self.cells / f"{name}.json"

    def picture(self, name: str) -> Path:
        """The picture of the cell called ``name``."""
        return self.pictures / f"{name}.png"

    def undrawn(self, name: str) -> Path:
        """The slice that the picture of the cell called ``name`` will show."""
        return self.pictures / f".{name}.npz"

    def all_undrawn(self) -> list[str]:
        """The cells whose slices wait to be drawn."""
        return sorted(one.stem.removeprefix(".") for one in self.pictures.glob(".*.npz"))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second run out of this folder while the block runs; the first tidies up.

        Raises:
            UadBenchError: if another run holds the folder.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(held(self.root / ".lock", wait=False))
            except HeldError as error:
                raise UadBenchError(
                    f"another run is using {self.root} ({error.holder}): give this one its own "
                    f"--results folder, {error.remedy}"
                ) from None
            self._remove_unfinished()
            yield

    def _remove_unfinished(self) -> None:
        """Remove what runs that were killed left of a write; only a run writes to these folders."""
        rooms = (self.cells, self.histograms, self.pictures, *self.detectors.glob("*/"))
        for room in rooms:
            for file in room.glob(".partial-*"):
                file.unlink(missing_ok=True)
        for folder in self.detectors.glob(".partial-*"):
            rmtree(folder, ignore_errors=True)


def write_cell(folder: ResultsFolder, record: CellRecord) -> Path:
    """Write one cell's JSON atomically and return its path."""
    path = folder.cell(record.spec.name)
    write_whole(path, (record.model_dump_json(indent=1) + "\n").encode())
    return path


def read_cell(path: Path) -> CellRecord:
    """Read one cell's JSON.

    Raises:
        UadBenchError: if the file is not a cell record, or has the name of another cell.
    """
    return parsed_cell(_content(path), path)


def _content(path: Path | str) -> bytes:
    try:
        with FileIO(path) as file:  # what `open` does beyond this takes longer than reading
            return file.readall()
    except OSError as error:
        raise UadBenchError(f"cannot read {path}: {error.strerror or error}") from None


class NoCellError(UadBenchError):
    """A file is not the cell that its name says; ``fault`` says why without naming the file."""

    def __init__(self, path: Path, fault: str, remedy: str = "delete it and run again") -> None:
        self.fault = fault
        super().__init__(f"{path} {fault}: {remedy}")


def parsed_cell(data: bytes, path: Path) -> CellRecord:
    """Return the cell in the content of a file.

    Args:
        data: the content.
        path: the file, for messages. Its name must be the cell's, or a copy would count twice.

    Raises:
        NoCellError: it is not a cell record, or has the name of another cell.
    """
    try:
        record = CellRecord.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise NoCellError(path, f"is not a cell record ({where}: {first['msg']})") from None
    if path.name != f"{record.spec.name}.json":
        raise NoCellError(
            path,
            f"is not its own cell: what is in it belongs in {record.spec.name}.json",
            "delete the copy, or give it its name back",
        )
    return record


def stored_cells(folder: ResultsFolder) -> tuple[CellRecord, ...]:
    """All cell records of a results folder, sorted by name; none where there is none."""
    with collector_paused():
        return tuple(read_cell(folder.cells / name) for name in _files(folder))


def lean_cells(folder: ResultsFolder, *, scans: bool = True) -> tuple[CellRecord, ...]:
    """The same cells in less time and room, for tables and frames: see :mod:`uad_bench.lean`.

    Args:
        folder: the results folder.
        scans: whether what is known of single scans is kept; most tables do not show it.
    """
    cells = str(folder.cells)  # a path is made in as long a time as the file is read in
    with collector_paused():
        found = (_lean_cell(f"{cells}/{name}", name) for name in _files(folder))
        return tuple(found if scans else map(for_tables, found))


def _files(folder: ResultsFolder) -> list[str]:
    """The names of the files of cells, sorted."""
    try:
        with os.scandir(folder.cells) as found:
            return sorted(file.name for file in found if file.name.endswith(".json"))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _lean_cell(file: str, name: str) -> CellRecord:
    data = _content(file)
    record = lean_cell(data)
    if record is None or name != f"{record.spec.name}.json":
        return lean(parsed_cell(data, Path(file)))  # or it says why it is no cell
    return record


class _Planned(BaseModel):
    """What of a planned cell says where it stands."""

    method: str
    dataset: str


class _Plan(BaseModel):
    cells: tuple[_Planned, ...]


def in_order_of_run(records: Sequence[CellRecord], folder: ResultsFolder) -> tuple[CellRecord, ...]:
    """The records in the order in which the last run named its methods, then its datasets.

    Those of earlier runs alone are before them. Without a readable plan the order stays.
    """
    try:
        cells = _Plan.model_validate_json(folder.plan.read_bytes()).cells
    except (OSError, ValidationError):
        return tuple(records)
    methods = {name: at for at, name in enumerate(dict.fromkeys(one.method for one in cells))}
    datasets = {name: at for at, name in enumerate(dict.fromkeys(one.dataset for one in cells))}

    def place(record: CellRecord) -> tuple[int, int]:
        return methods.get(record.spec.method, -1), datasets.get(record.spec.dataset, -1)

    return tuple(sorted(records, key=place))


def load_cells(root: Path) -> tuple[CellRecord, ...]:
    """All cell records below a results folder, in the order of its run.

    Raises:
        UadBenchError: if the folder holds no cells, or one of them cannot be read.
    """
    return _in_order(stored_cells, root)


def load_lean_cells(root: Path, *, scans: bool = True) -> tuple[CellRecord, ...]:
    """The same as :func:`lean_cells` reads them, for tables and frames.

    Raises:
        UadBenchError: likewise.
    """
    return _in_order(partial(lean_cells, scans=scans), root)


def _in_order(
    read: Callable[[ResultsFolder], tuple[CellRecord, ...]], root: Path
) -> tuple[CellRecord, ...]:
    folder = ResultsFolder(root)
    records = in_order_of_run(read(folder), folder)
    if not records:
        raise UadBenchError(
            f"no results in {root}: `uad-bench run` writes them, --results names it"
        )
    return records
