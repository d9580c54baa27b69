"""Which data a run stands on: real cohorts where they are found, phantoms where they are not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from uad_bench.cells import short_hash
from uad_bench.cohort import Cohort
from uad_bench.errors import UadBenchError
from uad_bench.locate import inspect, locate
from uad_bench.phantom.cohorts import VERSION
from uad_bench.phantom.labelmap import find_label_maps
from uad_bench.phantom.layouts import LAYOUTS, is_simulated, write_layout
from uad_bench.phantom.parallel import simulate_in_pool, simulation_pool
from uad_bench.phantom.scan import PhantomScan
from uad_bench.registry import Registry, split_dataset
from uad_bench.runner.config import RunConfig
from uad_bench.runner.progress import Progress
from uad_bench.volumes.prepare import prepare
from uad_bench.volumes.recipe import RECIPES
from uad_bench.volumes.store import PreparedCohort

PHANTOM_SEED = 0
"""Phantoms stand in for fixed data sets, so their seed is fixed and not the training seed."""

HEALTHY_FACTOR = 4
"""How many more healthy phantoms there are than patients of one cohort."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one cohort of a run comes from.

    Attributes:
        label: the name in cells and tables.
        cohort: its adapter.
        folder: its folder; ``None`` where it is to be simulated.
    """

    label: str
    cohort: Cohort
    folder: Path | None


@dataclass(frozen=True, slots=True)
class Sources:
    """The training cohort and the evaluated ones, and what was left out of ``all``."""

    training: Source
    evaluated: tuple[Source, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Data:
    """Prepared cohorts of a run."""

    training: PreparedCohort
    evaluated: Mapping[str, PreparedCohort]


def find_sources(config: RunConfig, registry: Registry) -> Sources:
    """Decide which cohorts are real and which are simulated, without reading any volume.

    Raises:
        UadBenchError: for an unknown or healthy cohort, a data root that does not exist, or a
            named cohort that is not in it.
    """
    root = config.data_root
    if root is not None and not root.is_dir():
        raise UadBenchError(f"--data-root {root}: no such folder")
    missing: list[str] = []
    sources: dict[str, Source] = {}
    for name in config.datasets:
        names = _evaluable(registry) if name == "all" else (name,)
        for each in names:
            source = _source(each, root, registry)
            if source.folder is None and root is not None:
                if name != "all":
                    raise UadBenchError(
                        f"cohort {each} is not in {root}: `uad-bench data {each}` shows what is "
                        "expected where"
                    )
                missing.append(each)
                continue
            if source.cohort.info.disease == "healthy":
                raise UadBenchError(
                    f"--datasets {each}: a healthy cohort trains detectors (--train {each}); "
                    "there is nothing to detect in it"
                )
            known = sources.setdefault(source.label, source)
            if known.folder != source.folder:
                raise UadBenchError(
                    f"--datasets: {known.folder} and {source.folder} would both be called "
                    f"{source.label}: rename one folder"
                )
    if not sources:
        raise UadBenchError(
            f"none of the cohorts is in {root}: `uad-bench data` shows what is expected where"
        )
    if config.anatomies is not None:
        find_label_maps(config.anatomies)
    training = _source(config.train, root, registry)
    if training.folder is None and training.label not in LAYOUTS:
        raise UadBenchError(f"--train {config.train}: not found, and there is no phantom of it")
    return Sources(training, tuple(sources.values()), tuple(missing))


def gather(config: RunConfig, sources: Sources, progress: Progress) -> Data:
    """Simulate what is simulated and prepare everything, or take it from the cache.

    Raises:
        UadBenchError: if a cohort has no usable scan, or the training cohort lacks a split.
    """
    cache = config.cache or platformdirs.user_cache_path("uad-bench")
    everything = (sources.training, *sources.evaluated)
    folders = _simulate_missing(config, everything, cache, progress)
    prepared = {}
    for number, source in enumerate(everything):
        role = "training cohort" if number == 0 else "cohort"
        folder = source.folder or folders[source.label]
        simulated = source.folder is None or is_simulated(source.folder)
        mark = " (simulated)" if simulated else ""
        progress.stage(f"prepare {role} {source.label}{mark}")
        with _locked(cache / "prepared" / source.label):
            store = prepare(
                source.cohort,
                folder,
                RECIPES[config.recipe],
                cache / "prepared",
                simulated=simulated,
                limit=config.limit,
                jobs=config.jobs,
                on_scan=lambda name: progress.step(0, 0, name),
            )
        for exclusion in store.excluded:
            progress.note(f"{source.label}: {exclusion.scan} is left out: {exclusion.reason}")
        prepared[number] = store
    training = prepared.pop(0)
    for split in ("train", "validation"):
        if len(training.split(split)) == 0:
            raise UadBenchError(
                f"training cohort {config.train} has no {split} scan: set the column `split` of "
                "its participants.tsv"
            )
    return Data(
        training,
        {source.label: prepared[number + 1] for number, source in enumerate(sources.evaluated)},
    )


def _evaluable(registry: Registry) -> tuple[str, ...]:
    """The cohorts that ``all`` means: every one of patients that is not bound to a path."""
    names = []
    for name in registry.names("dataset"):
        info = registry.cohort(name).info
        if info.disease != "healthy" and info.folders:
            names.append(name)
    return tuple(names)


def _source(name: str, root: Path | None, registry: Registry) -> Source:
    """Find one cohort's adapter and folder; a folder without scans is refused here."""
    base, path = split_dataset(name)
    cohort = registry.cohort(base)()
    if path is not None:
        if not path.is_dir():
            raise UadBenchError(f"--datasets {name}: no such folder")
        label = f"{base}-{re.sub(r'[^A-Za-z0-9]+', '-', path.resolve().name).strip('-')}"
        inspect(cohort, path)
        return Source(label, cohort, path)
    if not cohort.info.folders:
        raise UadBenchError(f"--datasets {name}: say where it is, as {name}:PATH")
    folder = None if root is None else locate(cohort.info, root)
    if folder is not None:
        inspect(cohort, folder)
    return Source(base, cohort, folder)


def _simulate_missing(
    config: RunConfig, sources: tuple[Source, ...], cache: Path, progress: Progress
) -> dict[str, Path]:
    """Write the phantoms that the cache lacks, each cohort whole or not at all."""
    version = short_hash([VERSION, PHANTOM_SEED, _fingerprint(config.anatomies)])
    folders: dict[str, Path] = {}
    missing: list[tuple[str, int]] = []
    for source in sources:
        if source.folder is not None:
            continue
        healthy = source.cohort.info.disease == "healthy"
        subjects = config.phantoms * (HEALTHY_FACTOR if healthy else 1)
        folder = cache / "phantoms" / f"{source.label}-{subjects}-{version}"
        folders[source.label] = folder
        if not folder.is_dir():
            missing.append((source.label, subjects))
    if not missing:
        return folders
    jobs = config.jobs or os.cpu_count() or 1
    with simulation_pool(jobs) as pool:
        for label, subjects in missing:
            progress.stage(f"simulate {label}")
            scans = simulate_in_pool(
                label,
                subjects=subjects,
                seed=PHANTOM_SEED,
                anatomies=config.anatomies,
                pool=pool,
                ahead=2 * jobs,
            )
            with _locked(folders[label]):
                if not folders[label].is_dir():
                    write_layout(label, folders[label], _counted(scans, subjects, progress))
    return folders


def _counted(
    scans: Iterator[PhantomScan], subjects: int, progress: Progress
) -> Iterator[PhantomScan]:
    """Pass the scans on and tell how many subjects are done."""
    for scan in scans:
        yield scan
        progress.step(scan.subject, subjects)


def _fingerprint(anatomies: Path | None) -> list[tuple[str, int]]:
    """Names and sizes of the label maps, so that other anatomies make other phantoms."""
    if anatomies is None:
        return []
    return [(file.name, file.stat().st_size) for file in find_label_maps(anatomies)]


def _locked(folder: Path) -> FileLock:
    """A lock beside ``folder``, so that two runs that share a cache do not write at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(f".{folder.name}.lock"))
