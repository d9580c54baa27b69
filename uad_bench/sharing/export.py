"""Writes a results folder's cells, and what their numbers stand on, into one zip; no image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.histogram_files import load_histograms
from uad_bench.plugins.registry import Registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.detectors.folder import (
    RECORD,
    find_method,
    read_record,
    refuse_damaged,
)
from uad_bench.runner.plan.plan import PlanFile
from uad_bench.sharing.archive import KNOWN
from uad_bench.sharing.held import files_of_user, held_of_people
from uad_bench.sharing.paths import without_folders, without_paths
from uad_bench.sharing.shareable import shareable, shareable_detector, shareable_settings
from uad_bench.sharing.zips import list_files, write_zip

_NO_IMAGES = (
    "No images: no scans, slices, masks, anomaly maps or pictures.",
    "Cells hold numbers of every scan with the subject's name in the dataset and, where stated, "
    "site, scanner, band of age and sex.",
    "Manifests hold the names, sizes and SHA-256 of the scans' files.",
    "Of paths only the last part is left.",
)
_HISTOGRAMS = "Histograms hold how often each score occurs in each scan."
_NO_HISTOGRAMS = (
    "No histograms: curves, and pooled metrics of `compare`, cannot be made from these cells."
)


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export came to.

    Attributes:
        path: the archive.
        cells: how many cells are in it.
        notes: what is in it and what is not, one sentence each.
    """

    path: Path
    cells: int
    notes: tuple[str, ...]


def export_cells(
    folder: ResultsFolder,
    records: Sequence[CellRecord],
    path: Path,
    registry: Registry,
    *,
    detectors: bool = False,
    histograms: bool = True,
) -> Exported:
    """Write cells, and what their numbers stand on, into one zip.

    Args:
        folder: the results folder that the cells are from.
        records: the cells.
        path: the zip, which is replaced if it is there.
        registry: the methods, to say what detectors hold.
        detectors: whether the cells' detectors go in too.
        histograms: whether the histograms of scores go in too.

    Raises:
        UadBenchError: there is nothing to export, another ending, or a file that is missing or
            cannot be written.
    """
    if path.suffix != ".zip":
        raise UadBenchError(f"{path}: unknown ending; name a .zip file")
    if not records:
        raise UadBenchError(f"{folder.root}: there is no cell to export")
    files: dict[str, bytes | Path] = {}
    for record in records:
        clean = shareable(record, histograms=histograms)
        if (name := f"cells/{clean.spec.name}.json") in files:
            raise UadBenchError(
                f"{folder.cell(record.spec.name)}: differs from another cell only in the folder of "
                "a file; give the two files other names and run again"
            )
        files[name] = _json(clean)
        if clean.histograms is not None and record.histograms is not None:
            file = _there(folder.root / record.histograms)
            load_histograms(file)  # nobody could import a damaged one
            files[clean.histograms] = file
    files |= _of_runs(folder, records)
    notes = list(_NO_IMAGES)
    notes.append(_HISTOGRAMS if histograms else _NO_HISTOGRAMS)
    if detectors:
        files |= _of_detectors(folder, records, registry, notes)
    else:
        notes.append("No detectors.")
    try:
        write_zip(path, list_files("results", files, tuple(notes)))
    except FileNotFoundError as error:
        raise UadBenchError(f"{error.filename}: went away while it was exported") from None
    return Exported(path, len(records), tuple(notes))


def _json(record: CellRecord) -> bytes:
    return f"{record.model_dump_json(indent=1)}\n".encode()


def _of_runs(folder: ResultsFolder, records: Sequence[CellRecord]) -> Iterator[tuple[str, bytes]]:
    """Yield the plan, and settings, data and tuning of the runs that made some cells."""
    if folder.plan.is_file():
        try:
            plan = PlanFile.model_validate_json(folder.plan.read_bytes())
        except ValidationError:
            raise _damaged(folder.plan) from None
        again = "uad-bench reproduce RUN.zip --results NEW"
        values = without_paths(plan.model_dump(mode="json")) | {"command": again, "folder": ""}
        for cell in values["cells"]:
            cell["params"] = without_folders(cell["params"])
        yield "plan.json", f"{json.dumps(values)}\n".encode()
    for name in sorted({record.run for record in records} - {""}):
        values = _parsed(_there(folder.runs / f"{name}.json"))
        text = json.dumps(shareable_settings(values), indent=1)
        yield f"runs/{name}.json", f"{text}\n".encode()
    uses = [use for record in records for use in (record.training, record.data) if use is not None]
    for name in sorted({use.manifest_hash for use in uses}):
        file = folder.manifests / f"{name}.json"
        if file.is_file():  # what was evaluated by `evaluate` has none
            values = without_paths(_parsed(file))
            yield f"manifests/{name}.json", f"{json.dumps(values, indent=1)}\n".encode()
    studies = {name for record in records if record.fit for name in record.fit.studies}
    for file in sorted(folder.tuning.glob("*.log")):
        if file.stem in studies:
            lines = (json.dumps(without_paths(_parsed(file, line))) for line in _lines(file))
            yield f"tuning/{file.name}", "".join(f"{line}\n" for line in lines).encode()


def _lines(file: Path) -> list[bytes]:
    """The whole lines of a journal."""
    return file.read_bytes().split(b"\n")[:-1]


def _parsed(file: Path, text: bytes | None = None) -> dict[str, Any]:
    """The JSON of a file, or of a part of it.

    Raises:
        UadBenchError: it is none.
    """
    try:
        values = json.loads(file.read_bytes() if text is None else text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise _damaged(file)
    return values


def _damaged(file: Path) -> UadBenchError:
    return UadBenchError(f"{file}: damaged, and cells stand on it; run again what made it")


def _of_detectors(
    folder: ResultsFolder, records: Iterable[CellRecord], registry: Registry, notes: list[str]
) -> Iterator[tuple[str, bytes | Path]]:
    """Yield the files of the cells' detectors; what they hold is added to ``notes``."""
    keys = sorted({record.fit.detector for record in records if record.fit is not None})
    notes.append("Detectors, as arrays and never as code.")
    holders: dict[str, list[str]] = {}
    for key in keys:
        of = folder.detectors / key
        record = read_record(of)
        method = find_method(of, record, registry)
        refuse_damaged(of, record)
        if files := files_of_user(of, record, method):
            named = ", ".join(Path(file).name for file in files)
            notes.append(f"Not the detector {key}, which reads files of this machine: {named}.")
            continue
        holders.setdefault(held_of_people(method), []).append(key)
        yield f"detectors/{key}/{RECORD}", shareable_detector(record)
        for file in sorted(of.iterdir()):
            name = f"detectors/{key}/{file.name}"
            if file.name != RECORD and KNOWN.fullmatch(name):
                yield name, file
    notes += [f"Hold {what}: {', '.join(keys)}." for what, keys in holders.items()]


def _there(file: Path) -> Path:
    if not file.is_file():
        raise UadBenchError(f"{file}: is gone, and a cell stands on it; run again what made it")
    return file
