"""Where the datasets of a run come from: real ones where they are found, DICOM made readable."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import get_args

import platformdirs

from uad_bench.cells import short_hash, shortened
from uad_bench.dataset import Dataset, ReadDataset, Split
from uad_bench.discovery.file_mapping import FileMapping, file_mapping, no_file_fits
from uad_bench.discovery.locate import Found, grouped, inspect, locate, refuse_unclaimed
from uad_bench.discovery.people.participants import first_of
from uad_bench.discovery.people.splits import FEWEST, SupervisedDataset, divided
from uad_bench.discovery.titles import own_title
from uad_bench.errors import UadBenchError
from uad_bench.phantom.brain.labelmap import find_label_maps
from uad_bench.phantom.layouts import LAYOUTS, is_simulated
from uad_bench.plugins.registry import Registry
from uad_bench.runner.config import RunConfig
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


@dataclass(frozen=True, slots=True)
class Sources:
    """The datasets of a run.

    Attributes:
        training: the healthy people that detectors learn from.
        evaluated: the datasets of patients.
        missing: what was left out of ``all``.
        supervised: the datasets of patients that supervised methods learn from, divided.
        unfit: why supervised methods do not learn from the others, where they learn from ``all``.
    """

    training: Source
    evaluated: tuple[Source, ...]
    missing: tuple[str, ...]
    supervised: tuple[Source, ...] = ()
    unfit: tuple[str, ...] = ()


def find_sources(config: RunConfig, registry: Registry) -> Sources:
    """Decide which datasets are real and which are simulated, without reading any volume.

    Raises:
        UadBenchError: a data root that does not exist; else naming every dataset that is unknown,
            healthy, not there or of an unusable folder, all at once.
    """
    _check_root(config)
    find = finder(config, registry)
    missing: list[str] = []
    problems: list[str] = []
    found: list[Source] = []
    for name in config.datasets:
        for each in _evaluable(registry) if name == "all" else (name,):
            try:
                look = _evaluated if name == "all" else find_evaluated
                source = look(each, config, registry, find)
            except UadBenchError as error:
                problems.append(str(error))
                continue
            if source is None:
                missing.append(each)
            else:
                found.append(source)
    if not found and not problems:
        problems.append(
            f"none of the datasets is in {config.data_root}: `uad-bench data` shows what is "
            "expected where"
        )
    training = None
    try:
        training = find_training(config, registry, find)
    except UadBenchError as error:
        problems.append(str(error))
    supervised, unfit = find_supervised(config, registry, problems, find)
    problems += named_alike([*found, *([training] if training is not None else []), *supervised])
    problems += _tested_under_another_name(config, supervised, found)
    if problems or training is None:
        raise UadBenchError("; ".join(dict.fromkeys(problems)))
    refuse_useless_pattern(config.lesion_pattern, (training, *found, *supervised))
    evaluated = {source.label: source for source in found}
    return Sources(training, tuple(evaluated.values()), tuple(missing), supervised, unfit)


def _tested_under_another_name(
    config: RunConfig, supervised: Iterable[Source], evaluated: Iterable[Source]
) -> Iterator[str]:
    """Say which folder is learned from under one name, and tested whole under another."""
    for one in supervised:
        for other in evaluated:
            if one.folder is None or other.folder is None or one.label == other.label:
                continue
            if one.folder.resolve() == other.folder.resolve():
                yield (
                    f"{config.said('supervised-on', one.label)}: {other.label} is the same folder, "
                    "and would be tested on what was learned from: name it in both places alike, "
                    "so that it is divided"
                )


def named_alike(sources: Iterable[Source]) -> Iterator[str]:
    """Say which folders would have one name in tables and among files."""
    first: dict[str, Source] = {}
    for source in sources:
        other = first.setdefault(source.label, source)
        if other.folder != source.folder:
            yield (
                f"{other.folder} and {source.folder} would both be called {source.label}: rename "
                "one folder"
            )


Find = Callable[[str], Source]
"""Finds one dataset by its name, or ``NAME:PATH``."""


def finder(config: RunConfig, registry: Registry) -> Find:
    """Return what finds each dataset of a command, and reads it once however often it is named."""
    find = partial(
        find_source,
        root=config.data_root,
        registry=registry,
        cache=cache_folder(config.cache),
        lesion_pattern=config.lesion_pattern,
    )
    return cache(find)


def find_evaluated(
    name: str, config: RunConfig, registry: Registry, find: Find | None = None
) -> Source:
    """Find a dataset to evaluate on.

    Args:
        name: the dataset, or ``NAME:PATH``.
        config: the run.
        registry: the adapters.
        find: of a command that finds several datasets.

    Raises:
        UadBenchError: an unknown, absent or healthy dataset, or a folder that cannot be used.
    """
    source = _evaluated(name, config, registry, find)
    if source is None:
        raise UadBenchError(
            f"dataset {name} is not in {config.data_root}: `uad-bench data --datasets {name}` "
            "shows what is expected where"
        )
    return source


def _evaluated(
    name: str, config: RunConfig, registry: Registry, find: Find | None = None
) -> Source | None:
    """Find a dataset to evaluate on; ``None`` where it is not in the data root.

    Raises:
        UadBenchError: an unknown or healthy dataset, or a folder that cannot be used.
    """
    source = (find or finder(config, registry))(name)
    if source.folder is None and config.data_root is not None:
        return None
    if source.dataset.info.disease == "healthy":
        raise UadBenchError(
            f"{config.said('datasets', name)}: a healthy dataset trains detectors "
            f"({config.said('train', name)}); there is nothing to detect in it"
        )
    return source


def find_training(config: RunConfig, registry: Registry, find: Find | None = None) -> Source:
    """Decide whether the training dataset is real or simulated, without reading any volume.

    Args:
        config: the run.
        registry: the adapters.
        find: of a command that finds several datasets.

    Raises:
        UadBenchError: a dataset that is unknown, of patients, neither there nor simulated, or
            without splits and impossible to divide, a data root that does not exist, or anatomies
            that cannot be used.
    """
    _check_root(config)
    if config.anatomies is not None:
        find_label_maps(config.anatomies)
    training = (find or finder(config, registry))(config.train)
    if training.dataset.info.disease not in ("healthy", "any"):
        raise UadBenchError(
            f"{config.said('train', config.train)}: a dataset of patients; detectors "
            "learn from healthy people, such as those of hi"
        )
    if training.folder is None and training.label not in LAYOUTS:
        raise UadBenchError(
            f"{config.said('train', config.train)}: not found, and there is no phantom of it"
        )
    return _for_training(training)


def find_supervised(
    config: RunConfig, registry: Registry, problems: list[str], find: Find | None = None
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Find the datasets whose masks supervised methods learn from, each divided in three.

    ``all`` are those of patients that are there, have masks and can be divided.

    Args:
        config: the run.
        registry: the adapters.
        problems: takes what is wrong with every dataset that is unknown, not there, of healthy
            people, without masks, or too small to be divided.
        find: of a command that finds several datasets.

    Returns:
        The datasets, and why each other one of ``all`` is none of them.
    """
    find = find or finder(config, registry)
    sources: dict[str, Source] = {}
    unfit: list[str] = []
    for name in config.supervised_on:
        for each in _evaluable(registry) if name == "all" else (name,):
            try:
                source = _for_supervision(find(each), config)
            except UadBenchError as error:
                if name == "all":
                    unfit.append(f"supervised methods do not learn from {each}: {error}")
                else:
                    problems.append(f"{config.said('supervised-on', name)}: {error}")
            else:
                sources[source.label] = source
    if "all" in config.supervised_on and not sources:
        problems.append(f"{config.said('supervised-on', 'all')}: {'; '.join(unfit)}")
    return tuple(sources.values()), tuple(unfit)


def _for_supervision(source: Source, config: RunConfig) -> Source:
    """A dataset of patients as supervised methods see it.

    Raises:
        UadBenchError: it is not there, of healthy people, or cannot be divided.
    """
    dataset, folder = SupervisedDataset(source.dataset), source.folder
    if dataset.info.disease == "healthy":
        raise UadBenchError("a healthy dataset, without lesions to learn from")
    if folder is None:
        if config.data_root is not None:
            raise UadBenchError(f"not in {config.data_root}")
        if source.label not in LAYOUTS:
            raise UadBenchError("not found, and there is no phantom of it")
        if config.phantoms < FEWEST:
            raise UadBenchError(
                f"{config.phantoms} simulated patients cannot be divided into train, validation "
                f"and test: say {config.said('phantoms', FEWEST)} or more"
            )
        return replace(source, dataset=dataset)
    whole, reading = source.dataset.read(folder), dataset.read(folder)
    counts = Counter({scan.subject: scan.split for scan in reading.scans}.values())
    parts = ", ".join(f"{counts[split]} {split}" for split in get_args(Split))
    notes = [f"{source.label}: subjects for supervised methods: {parts}"]
    if left := len(whole.scans) - len(reading.scans):
        notes.append(
            f"{source.label}: supervised methods do not learn from {left} "
            f"{'scan' if left == 1 else 'scans'} without a lesion mask"
        )
    return replace(
        source, dataset=ReadDataset(source.dataset, reading), notes=(*source.notes, *notes)
    )


def _for_training(source: Source) -> Source:
    """The training dataset as detectors see it; a note tells where it was divided by the rule.

    Raises:
        UadBenchError: it names no split, and cannot be divided.
    """
    dataset, folder = source.dataset, source.folder
    if folder is None:  # phantoms have splits
        return source
    reading = dataset.read(folder)
    seen = divided(folder, reading)
    if seen is reading:
        return source
    counts = Counter({scan.subject: scan.split for scan in seen.scans}.values())
    parts = ", ".join(f"{counts[split]} {split}" for split in get_args(Split))
    note = f"{source.label}: no column of splits; subjects by the rule: {parts}"
    return replace(source, dataset=ReadDataset(dataset, seen), notes=(*source.notes, note))


def _check_root(config: RunConfig) -> None:
    root = config.data_root
    if root is not None and not root.is_dir():
        raise UadBenchError(f"{config.said('data-root', root)}: no such folder")


def _evaluable(registry: Registry) -> tuple[str, ...]:
    """The datasets that ``all`` means: every one of patients that is not bound to a path."""
    names = []
    for name in registry.names("dataset"):
        info = registry.dataset(name).info
        if info.disease != "healthy" and info.folders:
            names.append(name)
    return tuple(names)


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


def refuse_useless_pattern(pattern: str | None, sources: Iterable[Source]) -> None:
    """Refuse a ``--lesion-pattern`` that fits no file of any of these datasets.

    Raises:
        UadBenchError: in one line.
    """
    if pattern is not None and not any(source.mapped for source in sources):
        raise UadBenchError(no_file_fits(pattern, "these datasets"))


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
