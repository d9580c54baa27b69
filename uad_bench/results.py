"""The results folder: where records lie, how they are written whole, and how they are read."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.locks import HeldError, held

_DESCRIPTOR = re.compile(r"/dev/(?P<name>stdout|stderr)|/(dev|proc/self)/fd/(?P<number>\d+)")
"""Paths of streams that this process has open already."""


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


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that the file is there whole or not at all.

    A symbolic link stays, and its target is replaced. A device, a pipe and ``/dev/stdout`` are
    written to as they are. Who may read a new file, the user's umask decides: results can hold
    patients' names.

    Raises:
        UadBenchError: if the disk is full, or the folder cannot be written to.
        BrokenPipeError: if the reader of a pipe went away.
    """
    try:
        stream = _open_stream(path)
        if stream is None:
            _replace(Path(os.path.realpath(path)), data)
        else:
            with os.fdopen(stream, "wb") as file:
                file.write(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise storage_error(error, path) from error


def _open_stream(path: Path) -> int | None:
    """Open what is no regular file, and return its descriptor; ``None`` for a file to replace.

    A stream of this process is not opened again: a shell may have led it into a file, behind what
    is there already.
    """
    if own := _DESCRIPTOR.fullmatch(str(path)):
        return os.dup({"stdout": 1, "stderr": 2}.get(own["name"]) or int(own["number"]))
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return os.open(path, os.O_WRONLY)


def _replace(path: Path, data: bytes) -> None:
    """Write a new file beside ``path``, and give it that name when it is whole."""
    temporary = path.with_name(f".partial-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):  # it has its name by now, or something went wrong
            temporary.unlink()


def storage_error(error: OSError, path: Path) -> UadBenchError:
    """Turn a failed write into a line for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UadBenchError(
            f"the disk is full while writing {path}: make room and run the same command again; "
            "finished work is kept"
        )
    return UadBenchError(f"cannot write {path}: {error.strerror or error}")


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
