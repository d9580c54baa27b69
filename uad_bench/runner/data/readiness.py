"""What would stop a run later, found before its work: folders, tools, scans without a split."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from uad_bench.errors import ScanError, UadBenchError
from uad_bench.method import Method
from uad_bench.phantom.layouts import is_simulated
from uad_bench.phantom.specs import dataset_spec, split_of
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import STORES, Data, phantom_folder, source_order, tissue_source
from uad_bench.runner.data.source import Source, cache_folder
from uad_bench.runner.data.sources import Sources
from uad_bench.system.extras import install_command, is_installed
from uad_bench.volumes.recipe import Recipe, find_recipe
from uad_bench.volumes.store.prepare import Order, chosen_scans
from uad_bench.volumes.store.prepared import StepName
from uad_bench.volumes.store.standardise import TissueSource, needed_tools, step_tool

_LONGEST_NAME = 240
"""Bytes in a new folder's name; a file system takes 255, and locks beside it have longer names."""


def unwritable(flag: str, folder: Path) -> Iterator[str]:
    """Say why nothing could be written in a folder, which need not be there; leave no trace.

    Args:
        flag: the option that names it.
        folder: the folder.
    """
    try:
        there, missing = folder.absolute(), []
        while not there.exists():
            missing.append(there.name)
            there = there.parent
        if not there.is_dir():
            yield f"{flag} {folder}: {there} is a file; name a folder"
            return
        if any(len(os.fsencode(name)) > _LONGEST_NAME for name in missing):
            yield f"{flag} {folder}: the name is too long for a folder; shorten it"
            return
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        yield f"{flag} {folder}: cannot be written ({reason}); name a folder that can"


def unfit_data(config: RunConfig, sources: Sources) -> Iterator[str]:
    """Say what is wrong with the datasets of a run, as far as names and headers tell.

    Scans are only read where a tool is not installed, to tell who needs it.
    """
    recipe = find_recipe(config.recipe, config.template)
    try:
        tissues = tissue_source(config.tissues)
    except UadBenchError as error:
        yield str(error)
        return
    unkept = tuple(unwritable(config.said("cache"), cache_folder(config.cache)))
    needs: dict[str, frozenset[str]] = {}
    for source in (sources.training, *sources.evaluated, *sources.supervised):
        is_training = source is sources.training
        try:
            if source.folder is not None:
                yield from _missing_splits(config, source, is_training=is_training)
            maps = tissues if is_training else None
            if unkept and not _is_prepared(config, source, maps):
                yield from unkept
            absent = _absent_tools(config, source, recipe, maps)
        except UadBenchError as error:
            yield str(error)
        else:
            needs[source.label] = needs.get(source.label, frozenset()) | absent
    yield from missing_tools(needs)


def missing_tools(needs: dict[str, frozenset[str]]) -> Iterator[str]:
    """Say which datasets cannot be prepared here, and the command that changes it.

    Args:
        needs: by dataset, the packages that it needs and that are not installed.
    """
    wanting: dict[frozenset[str], list[str]] = {}
    for label, packages in needs.items():
        if packages:
            wanting.setdefault(packages, []).append(label)
    for packages, labels in wanting.items():
        verb, are = ("needs", "is") if len(labels) == 1 else ("need", "are")
        are = "is" if len(packages) == 1 else "are"
        yield (
            f"{' and '.join(labels)} {verb} {' and '.join(sorted(packages))} to be prepared, "
            f"which {are} not installed: {install_command('prepare')}"
        )


def absent_tools(order: Order, stores: Path) -> frozenset[str]:
    """Return the packages that an order needs and that are not installed.

    Args:
        order: what is to be prepared. A dataset that is prepared already needs nothing.
        stores: the folder of prepared datasets.
    """
    absent = _not_installed(order.preparation.recipe)
    if not absent or (stores / order.folder_name).is_dir():
        return frozenset()
    found: set[str] = set()
    for item in order.inputs:
        try:
            found |= needed_tools(item.scan, order.preparation) & absent
        except ScanError:
            continue  # said of that scan, by name, when it is prepared
        if found == absent:
            break
    return frozenset(found)


def _absent_tools(
    config: RunConfig, source: Source, recipe: Recipe, tissues: TissueSource | None
) -> frozenset[str]:
    absent = _not_installed(recipe)
    if not absent:
        return absent
    if source.folder is None:  # phantoms are brains in template space
        steps: list[StepName] = ["n4"] if recipe.n4 else []
        steps += ["tissues"] if tissues == "atropos" else []
        return absent & {step_tool(step, recipe) for step in steps}
    stores = cache_folder(config.cache) / STORES
    simulated = is_simulated(source.folder)
    order = source_order(config, source.dataset, source.folder, tissues, simulated=simulated)
    return absent_tools(order, stores)


def _is_prepared(config: RunConfig, source: Source, tissues: TissueSource | None) -> bool:
    """Whether the cache holds all that a run needs of a dataset, so that it only reads there."""
    folder = source.folder or phantom_folder(config, source)[0]
    if not folder.is_dir():
        return False
    simulated = source.folder is None or is_simulated(folder)
    order = source_order(config, source.dataset, folder, tissues, simulated=simulated)
    return (cache_folder(config.cache) / STORES / order.folder_name).is_dir()


def _not_installed(recipe: Recipe) -> frozenset[str]:
    steps: tuple[StepName, ...] = ("strip", "register")
    tools = {step_tool(step, recipe) for step in steps}
    return frozenset(tool for tool in tools if not is_installed(tool))


def _missing_splits(config: RunConfig, source: Source, *, is_training: bool) -> Iterator[str]:
    """What a real dataset lacks for its part in the run.

    Raises:
        UadBenchError: the dataset contradicts itself, or its exclusions cannot be read.
    """
    assert source.folder is not None
    scans, _ = chosen_scans(source.dataset, source.folder, config.limit)
    there = {scan.split for scan in scans}
    if is_training:
        for split in ("train", "validation"):
            if split not in there:
                yield (
                    f"training dataset {config.train} has no {split} scan: set the column `split` "
                    "of its participants.tsv"
                )
    elif "test" not in there:
        yield (
            f"dataset {source.label} has no test scan: set the column `split` of its "
            "participants.tsv"
        )


def stated_tissues(config: RunConfig, training: Source) -> int | None:
    """Return how many training subjects bring tissue maps, by names alone.

    ``None`` where names do not tell: of phantoms, and where ``--tissues`` makes or maps them.

    Raises:
        UadBenchError: the dataset contradicts itself, or its exclusions cannot be read.
    """
    if training.folder is None or config.tissues is not None:
        return None
    scans, _ = chosen_scans(training.dataset, training.folder, config.limit)
    return len({scan.subject for scan in scans if scan.split == "train" and scan.tissues})


def lonely(config: RunConfig, training: Source, methods: Iterable[type[Method]]) -> Iterator[str]:
    """Say which methods compare healthy people with each other and would have one alone.

    Args:
        config: the run.
        training: the healthy people.
        methods: those of the run; supervised ones learn from others.

    Raises:
        UadBenchError: the dataset contradicts itself, or its exclusions cannot be read.
    """
    names = [
        one.info.name
        for one in methods
        if "other_people" in one.info.needs and not one.info.supervised
    ]
    if names and (people := _training_people(config, training)) < 2:
        yield (
            f"{', '.join(names)}: learns from what healthy people do not have in common, and "
            f"{training.label} has {people} to learn from: give 2 or more"
        )


def _training_people(config: RunConfig, training: Source) -> int:
    """How many people detectors learn from, by names alone."""
    if training.folder is not None:
        scans, _ = chosen_scans(training.dataset, training.folder, config.limit)
        return len({scan.subject for scan in scans if scan.split == "train"})
    splits, (_, subjects) = dataset_spec(training.label).splits, phantom_folder(config, training)
    people = sum(split_of(number + 1, splits) == "train" for number in range(subjects))
    return min(people, config.limit or people)


def fallback_note(titles: Sequence[str], said: str) -> str:
    """Say whose tissue prior is the template's and not that of the training subjects.

    Args:
        titles: the methods'.
        said: how messages name the setting that says where tissue maps are.
    """
    return (
        f"tissue prior of {', '.join(titles)}: the MNI152 template's maps (fallback), because the "
        f"training data have tissue maps of fewer than two subjects; {said} says where maps come "
        "from"
    )


def large_batches(data: Data, batches: Iterable[tuple[str, str, int]]) -> Iterator[str]:
    """Say which methods take more slices a step than there are to learn from.

    Args:
        data: the prepared datasets.
        batches: of each training, the method's name, the dataset that a supervised one learns from,
            and how many slices a step takes; 0 for one that takes no steps.
    """
    for name, on, size in batches:
        slices = len(data.learned(on).split("train"))
        if size > slices:
            where, who = (f" in {on}", "") if on else ("", "healthy ")
            yield (
                f"{name}.batch_size is {size}, and there are only {slices} training slices{where}: "
                f"add {who}subjects, or lower it"
            )


def refuse(problems: Iterable[str]) -> None:
    """Refuse what cannot be, all of it at once.

    Raises:
        UadBenchError: naming every problem, once.
    """
    found = list(dict.fromkeys(problems))
    if found:
        raise UadBenchError("; ".join(found))


@contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """Add what goes wrong to ``problems``, and go on."""
    try:
        yield
    except UadBenchError as error:
        problems.append(str(error))
