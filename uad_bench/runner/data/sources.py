"""Where the datasets of a run come from: real ones where they are found, DICOM made readable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import get_args

from uad_bench.dataset import ReadDataset, Split
from uad_bench.discovery.file_mapping import no_file_fits
from uad_bench.discovery.people.splits import FEWEST, SupervisedDataset, divided
from uad_bench.errors import UadBenchError
from uad_bench.phantom.brain.labelmap import find_label_maps
from uad_bench.phantom.layouts import LAYOUTS
from uad_bench.plugins.registry import Registry
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.source import Source, cache_folder, find_source


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


def refuse_useless_pattern(pattern: str | None, sources: Iterable[Source]) -> None:
    """Refuse a ``--lesion-pattern`` that fits no file of any of these datasets.

    Raises:
        UadBenchError: in one line.
    """
    if pattern is not None and not any(source.mapped for source in sources):
        raise UadBenchError(no_file_fits(pattern, "these datasets"))
