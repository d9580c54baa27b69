"""Reads an export of a results folder: nothing of it is used before all of it is checked."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.histogram_files import parsed_histograms
from uad_bench.results import NoCellError, ResultsFolder, parsed_cell, read_cell
from uad_bench.runner.detectors.folder import RECORD, STATE, DetectorRecord
from uad_bench.runner.environment import versions
from uad_bench.runner.plan.plan import PlanFile
from uad_bench.sharing.shareable import shareable
from uad_bench.sharing.zips import LARGEST_TEXT_MB, LISTING, Archive, opened_archive
from uad_bench.system.disk import sha256_of
from uad_bench.volumes.store.prepared import Manifest

KNOWN = re.compile(
    r"plan\.json|(cells|runs|manifests)/[^/]+\.json|histograms/[^/]+\.npz|tuning/[^/]+\.log"
    r"|detectors/[^/]+/(detector\.json|state\.safetensors|validation(-native)?\.npz)"
)
"""The files that an export can hold."""


@dataclass(frozen=True, slots=True)
class ArchivedResults:
    """What an export holds, checked.

    Attributes:
        archive: the zip.
        cells: its cells.
        runs: the settings of its runs, by the name that cells have for them.
        manifests: what the prepared datasets behind the cells were made from, by hash.
    """

    archive: Archive
    cells: tuple[CellRecord, ...]
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)


@contextmanager
def opened_results(path: Path) -> Iterator[ArchivedResults]:
    """Open an export once all that is in it is known to be whole and to fit together.

    Raises:
        UadBenchError: in one line, why it is not used.
    """
    with opened_archive(path, "results") as archive:
        names = archive.listing.files
        if strange := [name for name in names if not KNOWN.fullmatch(name)]:
            raise UadBenchError(f"{path}: holds {strange[0]}, which no export does")
        found = ArchivedResults(
            archive,
            tuple(_cell(archive, name) for name in names if name.startswith("cells/")),
            {Path(n).stem: _settings(archive, n) for n in names if n.startswith("runs/")},
            {Path(n).stem: _manifest(archive, n) for n in names if n.startswith("manifests/")},
        )
        if not found.cells:
            raise UadBenchError(f"{path}: holds no cell")
        for name in names:
            _refuse_unusable(archive, name)
        yield found


def _remedy(archive: Archive) -> str:
    """What to do with a file that is whole and cannot be read: it may be another version's."""
    then = archive.listing.versions.get("uad-bench", "unknown")
    if then == versions()["uad-bench"]:
        return "get it again"
    return f"use the uad-bench that wrote it ({then}), or get it again"


def _cell(archive: Archive, name: str) -> CellRecord:
    """Read a cell whose parts are where it says."""
    try:
        record = parsed_cell(archive.read(name), Path(name))
    except NoCellError as error:
        raise UadBenchError(f"{archive.path}: {name} {error.fault}; {_remedy(archive)}") from None
    if record.histograms not in (None, f"histograms/{record.spec.name}.npz"):
        raise UadBenchError(f"{archive.path}: {name} names another cell's histograms")
    if record.histograms is not None and record.histograms not in archive.listing.files:
        raise UadBenchError(f"{archive.path}: the histograms of {name} are missing")
    keys = [record.run, "" if record.fit is None else record.fit.detector]
    keys += [use.manifest_hash for use in (record.training, record.data) if use is not None]
    if any("/" in key or key == ".." for key in keys):
        raise UadBenchError(
            f"{archive.path}: {name} names a detector, run or manifest outside of a folder"
        )
    return record


def _settings(archive: Archive, name: str) -> dict[str, Any]:
    try:
        values = json.loads(archive.read(name))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise UadBenchError(f"{archive.path}: {name} holds no settings; {_remedy(archive)}")
    return values


def _manifest(archive: Archive, name: str) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(archive.read(name))
    except ValidationError as error:
        raise UadBenchError(
            f"{archive.path}: {name} is no manifest of this uad-bench "
            f"({error.errors()[0]['msg']}); {_remedy(archive)}"
        ) from None
    if manifest.manifest_hash != Path(name).stem:
        raise UadBenchError(f"{archive.path}: {name} is the manifest {manifest.manifest_hash}")
    return manifest


def _refuse_unusable(archive: Archive, name: str) -> None:
    """Refuse a file that could not be read once it is in a results folder."""
    whose, file = Path(name).parent, Path(name).name
    if name.startswith("detectors/") and f"{whose}/{RECORD}" not in archive.listing.files:
        raise UadBenchError(f"{archive.path}: {name} has no {RECORD} beside it; get it again")
    try:
        if file == RECORD:
            _refuse_detector(archive, name)
        elif file == STATE:
            load(archive.read(name))
        elif file.endswith(".npz"):
            _refuse_bomb(archive.read(name))
            parsed_histograms(archive.read(name))
        elif file == "plan.json":
            PlanFile.model_validate_json(archive.read(name))
        elif file.endswith(".log"):
            _refuse_lines(archive.read(name))
    except (ValueError, RecursionError, SafetensorError, zipfile.BadZipFile) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UadBenchError(
            f"{archive.path}: {name} is damaged ({reason}); {_remedy(archive)}"
        ) from None


def _refuse_bomb(data: bytes) -> None:
    """Refuse arrays that unpack to more than histograms have."""
    with zipfile.ZipFile(io.BytesIO(data)) as arrays:
        if sum(one.file_size for one in arrays.infolist()) > LARGEST_TEXT_MB << 20:
            raise ValueError(f"it unpacks to more than {LARGEST_TEXT_MB} MB")


def _refuse_lines(data: bytes) -> None:
    """Refuse a tuning journal with a line that is no entry."""
    for number, line in enumerate(data.splitlines(), 1):
        if not isinstance(json.loads(line), dict):
            raise ValueError(f"line {number} is no entry of a tuning journal")


def _refuse_detector(archive: Archive, name: str) -> None:
    """Refuse a detector whose record is of another state than is there."""
    state = archive.listing.files.get(f"{Path(name).parent}/{STATE}")
    try:
        record = DetectorRecord.model_validate_json(archive.read(name))
    except ValidationError as error:
        raise UadBenchError(
            f"{archive.path}: {name} is no detector's ({error.errors()[0]['msg']}); "
            f"{_remedy(archive)}"
        ) from None
    if state is None or state.sha256 != record.sha256:
        raise UadBenchError(f"{archive.path}: {name} is of another {STATE} than is beside it")


def import_archive(path: Path, folder: ResultsFolder) -> int:
    """Add an export to a results folder; what is there already stays.

    Args:
        path: the zip.
        folder: the results folder; made where it is missing.

    Returns:
        How many cells came in; others were there already.

    Raises:
        UadBenchError: in one line, why it is not used; then nothing is written.
    """
    with opened_results(path) as found:
        names = [name for name in found.archive.listing.files if name != LISTING]
        with folder.lock():
            _refuse_conflicts(found, folder)
            new = [name for name in names if not (folder.root / name).exists()]
            for name in sorted(new, key=_place):
                found.archive.unpack(name, folder.root / name)
    return sum(name.startswith("cells/") for name in new)


def _place(name: str) -> int:
    """When a file is written: what it stands on is there before it, should an import be killed."""
    if name.startswith("cells/"):
        return 2
    return 1 if Path(name).name == RECORD else 0


def _refuse_conflicts(found: ArchivedResults, folder: ResultsFolder) -> None:
    """Refuse an export of which a cell, or what it stands on, is there with other content."""
    other = []
    for record in found.cells:
        file = folder.cell(record.spec.name)
        if file.is_file() and shareable(read_cell(file)) != record:
            other.append(str(file))
    for name, listed in found.archive.listing.files.items():
        file = folder.root / name
        if name.endswith((".npz", STATE)) and file.is_file() and sha256_of(file) != listed.sha256:
            other.append(str(file))
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise UadBenchError(
            f"{found.archive.path}: {', '.join(other[:3])}{more}: there already with other "
            "content; import it into another --results folder"
        )
