"""The results folder: where records are, and how they are written and read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
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

    def cell(self, name: str) -> Path:
        """The JSON file of the cell called ``name``."""
        return self.cells / f"{name}.json"

    def picture(self, name: str) -> Path:
        """The picture of the cell called ``name``."""
        return self.pictures / f"{name}.png"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second run out of this folder while the block runs.

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
            yield


def write_cell(folder: ResultsFolder, record: CellRecord) -> Path:
    """Write one cell's JSON atomically and return its path."""
    path = folder.cell(record.spec.name)
    write_whole(path, (record.model_dump_json(indent=1) + "\n").encode())
    return path


def read_cell(path: Path) -> CellRecord:
    """Read one cell's JSON.

    Raises:
        UadBenchError: if the file is not a cell record.
    """
    try:
        return CellRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UadBenchError(
            f"{path} is not a cell record ({where}: {first['msg']}): delete it and run again"
        ) from None
    except OSError as error:
        raise UadBenchError(f"cannot read {path}: {error.strerror or error}") from None


def stored_cells(folder: ResultsFolder) -> tuple[CellRecord, ...]:
    """All cell records of a results folder, sorted by name; none where there is none."""
    return tuple(read_cell(file) for file in sorted(folder.cells.glob("*.json")))


def load_cells(root: Path) -> tuple[CellRecord, ...]:
    """All cell records below a results folder, sorted by name.

    Raises:
        UadBenchError: if the folder holds no cells, or one of them cannot be read.
    """
    records = stored_cells(ResultsFolder(root))
    if not records:
        raise UadBenchError(
            f"no results in {root}: `uad-bench run` writes them, --results names it"
        )
    return records
