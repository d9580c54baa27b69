"""One dataset of a run: its adapter and its folder; DICOM made readable."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from uad_bench.cells import short_hash, shortened
from uad_bench.dataset import Dataset, ReadDataset
from uad_bench.discovery.file_mapping import FileMapping, file_mapping
from uad_bench.discovery.locate import Found, grouped, inspect, locate, refuse_unclaimed
from uad_bench.discovery.people.participants import first_of
from uad_bench.discovery.titles import own_title
from uad_bench.errors import UadBenchError
from uad_bench.phantom.layouts import is_simulated
from uad_bench.plugins.registry import Registry
from uad_bench.runner.data.named import named_dataset
from uad_bench.system.disk import write_whole
from uad_bench.system.locks import held
from uad_bench.volumes.files.dicom import convert_dicom, is_dicom_folder

_LONGEST_LABEL = 100
"""Bytes of a dataset's name in cells, tables and file names; a longer folder name is cut."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one dataset of a run comes from.

    Attributes:
        label: the name in cells and tables.
        dataset: its adapter; one that was read, where there is a folder.
        folder: its folder; ``None`` where it is to be simulated.
        notes: what the user should know of it, such as DICOM studies that were left out.
        mapped: how many files ``--lesion-pattern`` fits.
        title: what tables call it, where its data are a user's own; empty otherwise.
    """

    label: str
    dataset: Dataset
    folder: Path | None
    notes: tuple[str, ...] = ()
    mapped: int = 0
    title: str = ""


def find_source(
    name: str,
    root: Path | None,
    registry: Registry,
    cache: Path,
    lesion_pattern: str | None = None,
) -> Source:
    """Find one dataset's adapter and folder; a folder without scans is refused here.

    A folder of DICOM files becomes a BIDS dataset in the cache first.

    Args:
        name: ``NAME``, ``NAME:PATH``, or a dataset's folder.
        root: the data root.
        registry: the adapters.
        cache: where converted DICOM files go.
        lesion_pattern: which files are lesion masks, see ``--lesion-pattern``; not of phantoms.

    Raises:
        UadBenchError: an unknown dataset, a folder that does not exist, or one without scans.
    """
    named, path = named_dataset(name, registry)
    base, mapping = named.info.name, file_mapping(lesion_pattern)
    dataset = registry.dataset(base)()
    if path is not None:
        if not path.is_dir():
            raise UadBenchError(f"dataset {name}: no such folder")
        words = re.sub(r"[^A-Za-z0-9]+", "-", path.resolve().name).strip("-")
        label = shortened(f"{base}-{words}", _LONGEST_LABEL)
        notes: tuple[str, ...] = ()
        if isinstance(named, ReadDataset):
            notes = (f"{path} is read as {base}:{path}",)
        title = "" if dataset.info.released else own_title(path)
        if is_dicom_folder(path):
            path, left_out = converted(path, cache)
            notes = (*notes, *left_out)
        dataset = _mapped(dataset, path, mapping)
        found = inspect(dataset, path)
        refuse_unclaimed(found, name)
        notes = (*notes, *_left_out(label, found))
        return Source(label, ReadDataset(dataset, found.reading), path, notes, found.mapped, title)
    if not dataset.info.folders:
        raise UadBenchError(f"dataset {name}: say where it is, as {name}:PATH")
    folder = None if root is None else locate(dataset.info, root)
    if folder is not None:
        dataset = _mapped(dataset, folder, mapping)
        found = inspect(dataset, folder)
        refuse_unclaimed(found, name)
        is_own = not dataset.info.released and not is_simulated(folder)
        title = own_title(folder) if is_own else ""
        notes = tuple(_left_out(base, found))
        return Source(base, ReadDataset(dataset, found.reading), folder, notes, found.mapped, title)
    return Source(base, dataset, folder)


def _mapped(dataset: Dataset, folder: Path, mapping: FileMapping | None) -> Dataset:
    """The adapter with the user's patterns; phantoms are named as they should be and take none."""
    return dataset if mapping is None or is_simulated(folder) else dataset.mapped(mapping)


def _left_out(label: str, found: Found) -> Iterator[str]:
    """How masks were chosen, and the files and the parts of the list of people that were left."""
    yield from (f"{label}: {note}" for note in found.mask_notes)
    for reason, paths in grouped(file for file in found.left if file.told).items():
        names = first_of(path.relative_to(found.folder).as_posix() for path in paths)
        yield f"{label}: left out: {names}: {reason}"
    if found.people is not None:
        yield from (f"{label}: {found.people.path.name}: {note}" for note in found.people.notes)
        unlisted = found.people.unlisted(scan.subject for scan in found.scans)
        if unlisted:
            path = found.people.path.name
            yield f"{label}: with a scan, but not in {path}: {first_of(unlisted)}"


def converted(folder: Path, cache: Path) -> tuple[Path, tuple[str, ...]]:
    """Convert a folder of DICOM files once; return the BIDS folder and what was left out of it.

    Raises:
        UadBenchError: no study of it can be used, or ``dcm2niix`` is not installed.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stats = [(str(path.relative_to(folder)), path.stat()) for path in files]
    key = short_hash([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])
    target = cache / "converted" / f"{shortened(folder.resolve().name, _LONGEST_LABEL)}-{key}"
    record = target.with_name(f"{target.name}.txt")
    if record.is_file():  # it is written last, and another user's needs no lock
        return target, tuple(record.read_text(encoding="utf-8").splitlines())
    with locked(target):
        if not record.is_file():
            shutil.rmtree(target, ignore_errors=True)
            problems: list[str] = []
            convert_dicom(folder, target, on_problem=problems.append)
            write_whole(record, "\n".join(problems).encode())
        return target, tuple(record.read_text(encoding="utf-8").splitlines())


def cache_folder(given: Path | None) -> Path:
    """The folder for phantoms and prepared datasets: the given one, else the user's cache."""
    return given or platformdirs.user_cache_path("uad-bench")


def locked(folder: Path) -> AbstractContextManager[None]:
    """A lock beside ``folder``, so that two runs that share a cache do not write at once."""
    return held(folder.with_name(f".{folder.name}.lock"))
