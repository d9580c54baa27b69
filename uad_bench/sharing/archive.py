"""The archive of a results folder: everything that its numbers stand on, and no image."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.histogram_files import load_histograms, parsed_histograms
from uad_bench.plugins.registry import Registry
from uad_bench.results import NoCellError, ResultsFolder, parsed_cell, read_cell
from uad_bench.runner.detectors.folder import (
    RECORD,
    STATE,
    DetectorRecord,
    find_method,
    read_record,
    refuse_damaged,
)
from uad_bench.runner.plan.plan import PlanFile
from uad_bench.sharing.held import files_of_user, held_of_people
from uad_bench.sharing.paths import without_paths
from uad_bench.sharing.zips import (
    LARGEST_TEXT_MB,
    LISTING,
    Archive,
    list_files,
    opened_archive,
    write_zip,
)
from uad_bench.system.disk import sha256_of
from uad_bench.volumes.store.prepared import Manifest

_KNOWN = re.compile(
    r"plan\.json|(cells|runs|manifests)/[^/]+\.json|histograms/[^/]+\.npz|tuning/[^/]+\.log"
    r"|detectors/[^/]+/(detector\.json|state\.safetensors|validation(-native)?\.npz)"
)
"""The files that an export can hold."""

_FOLDER_SETTINGS = ("data_root", "template", "anatomies", "atlas", "plugin")
_FILE_SETTINGS = ("recipe", "tissues", "lesion_pattern")
_DATASET_SETTINGS = ("datasets", "train", "supervised_on")

_NO_IMAGES = (
    "No images: no scans, slices, masks, anomaly maps or pictures.",
    "Cells hold numbers of every scan with the subject's name in the dataset and, where stated, "
    "site, scanner, band of age and sex; histograms hold how often each score occurs.",
    "Manifests hold the names, sizes and SHA-256 of the scans' files.",
    "Of paths only the last part is left.",
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
) -> Exported:
    """Write cells, and what their numbers stand on, into one zip.

    Args:
        folder: the results folder that the cells are from.
        records: the cells.
        path: the zip, which is replaced if it is there.
        registry: the methods, to say what detectors hold.
        detectors: whether the cells' detectors go in too.

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
        clean = shareable(record)
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
    if detectors:
        files |= _of_detectors(folder, records, registry, notes)
    else:
        notes.append("No detectors.")
    try:
        write_zip(path, list_files("results", files, tuple(notes)))
    except FileNotFoundError as error:
        raise UadBenchError(f"{error.filename}: went away while it was exported") from None
    return Exported(path, len(records), tuple(notes))


def shareable(record: CellRecord) -> CellRecord:
    """Return a cell without the paths of this machine; one that names none is as it was."""
    values = without_paths(record.model_dump(mode="json"))
    values["histograms"] = record.histograms  # below the results folder
    clean = CellRecord.model_validate(values)
    if record.histograms is None:
        return clean
    return clean.model_copy(update={"histograms": f"histograms/{clean.spec.name}.npz"})


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
        values = without_paths(plan.model_dump(mode="json")) | {"command": again}
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
    tuned = {record.spec.method for record in records if record.fit and record.fit.trials}
    for file in sorted(folder.tuning.glob("*.log")):
        if file.stem.rpartition("-")[0] in tuned:
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


def shareable_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run with names in place of paths, relative ones included."""
    found: dict[str, Any] = without_paths(values)
    for key in (*_FOLDER_SETTINGS, *_FILE_SETTINGS, *_DATASET_SETTINGS):
        value, cut = values.get(key), _dataset if key in _DATASET_SETTINGS else _name
        if isinstance(value, list):
            found[key] = [cut(one) for one in value]
        elif value is not None and (key != "lesion_pattern" or is_file_setting(key, value)):
            found[key] = cut(value)
    return found


def is_file_setting(key: str, value: object) -> bool:
    """Whether the value of a setting is a file or folder that an archive does not hold."""
    if key in _FILE_SETTINGS:
        return str(value).endswith((".yaml", ".yml"))
    return key in _FOLDER_SETTINGS and value not in (None, [])


def _name(value: object) -> str:
    return Path(str(value)).name


def _dataset(value: str) -> str:
    """A dataset as it was named, such as ``bids:PATH``, with only the last part of its path."""
    adapter, colon, path = value.partition(":")
    return f"{adapter}:{_name(path)}" if colon else _name(value)


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
            if file.name != RECORD and _KNOWN.fullmatch(name):
                yield name, file
    notes += [f"Hold {what}: {', '.join(keys)}." for what, keys in holders.items()]


def shareable_detector(record: DetectorRecord) -> bytes:
    """Return the record of a detector as JSON, without paths."""
    values = without_paths(record.model_dump(mode="json"))
    clean = DetectorRecord.model_validate(values)
    return f"{clean.model_dump_json(indent=1)}\n".encode()


def _there(file: Path) -> Path:
    if not file.is_file():
        raise UadBenchError(f"{file}: is gone, and a cell stands on it; run again what made it")
    return file


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
        if strange := [name for name in names if not _KNOWN.fullmatch(name)]:
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


def _cell(archive: Archive, name: str) -> CellRecord:
    """Read a cell whose parts are where it says."""
    try:
        record = parsed_cell(archive.read(name), Path(name))
    except NoCellError as error:
        raise UadBenchError(f"{archive.path}: {name} {error.fault}; get it again") from None
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
        raise UadBenchError(f"{archive.path}: {name} holds no settings; get it again")
    return values


def _manifest(archive: Archive, name: str) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(archive.read(name))
    except ValidationError as error:
        raise UadBenchError(
            f"{archive.path}: {name} is no manifest of this uad-bench ({error.errors()[0]['msg']})"
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
        raise UadBenchError(f"{archive.path}: {name} is damaged ({reason}); get it again") from None


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
            f"{archive.path}: {name} is no detector's ({error.errors()[0]['msg']})"
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
            # Cells come last: what they stand on is there before them.
            for name in sorted(new, key=lambda one: one.startswith("cells/")):
                found.archive.unpack(name, folder.root / name)
    return sum(name.startswith("cells/") for name in new)


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
