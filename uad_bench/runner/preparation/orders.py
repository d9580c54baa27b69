"""Preparing datasets for their own sake: what is to be done, how long it takes, and doing it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from uad_bench.errors import ScanError, UadBenchError
from uad_bench.phantom.layouts import is_simulated
from uad_bench.plugins.registry import Registry
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import STORES, tissue_source
from uad_bench.runner.data.readiness import absent_tools, missing_tools, refuse, unwritable
from uad_bench.runner.data.source import Source, cache_folder, find_source
from uad_bench.runner.data.sources import named_alike, refuse_useless_pattern
from uad_bench.system.machine import fitting_processes
from uad_bench.volumes.recipe import find_recipe
from uad_bench.volumes.store.prepare import NothingLeftError, Order, prepare, take_order
from uad_bench.volumes.store.prepared import ExcludedScan, PreparedScan, StepName
from uad_bench.volumes.store.standardise import (
    PlannedStep,
    Preparation,
    planned_steps,
    recorded_seconds,
)
from uad_bench.volumes.store.workers import Outcome

SECONDS: dict[StepName, float] = {
    "strip": 60.0,
    "n4": 12.0,
    "register": 10.0,
    "tissues": 20.0,
    "slice": 1.5,
}
"""What a step takes on one slow core, until this machine has done it once."""


@dataclass(frozen=True, slots=True)
class Request:
    """What ``uad-bench prepare`` was asked for.

    Attributes:
        config: the datasets, and how they are prepared.
        page: the folder of the page and its pictures.
    """

    config: RunConfig
    page: Path

    @property
    def jobs(self) -> int:
        """Worker processes."""
        return fitting_processes(self.config.jobs)


@dataclass(frozen=True, slots=True)
class PlannedScan:
    """What is to be done with one scan: its steps, or why it cannot be used."""

    name: str
    steps: tuple[PlannedStep, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PreparedOrder:
    """What came of one dataset.

    Attributes:
        label: the dataset's name in tables.
        order: what was asked.
        store: the folder of the prepared dataset; ``None`` where no scan could be used.
        scans: the scans in it.
        excluded: the scans left out.
    """

    label: str
    order: Order
    store: Path | None
    scans: tuple[PreparedScan, ...]
    excluded: tuple[ExcludedScan, ...]


def take_orders(
    request: Request, registry: Registry, note: Callable[[str], None]
) -> tuple[tuple[str, Order], ...]:
    """Find the datasets and their scans.

    Args:
        request: what was asked for.
        registry: the adapters.
        note: told what the user should know of a source, such as DICOM studies left out.

    Raises:
        UadBenchError: a dataset that is unknown, not there, contradicts itself or needs a tool that
            is not installed, or a folder that cannot be written; all at once.
    """
    recipe = find_recipe(request.config.recipe, request.config.template)
    tissues = tissue_source(request.config.tissues)
    stores = cache_folder(request.config.cache) / STORES
    orders: list[tuple[str, Order]] = []
    problems = [*unwritable(request.config.said("page"), request.page)]
    sources = tuple(_sources(request, registry, problems))
    problems += named_alike(sources)
    if not problems:
        refuse_useless_pattern(request.config.lesion_pattern, sources)
    for source in sources:
        folder = source.folder
        for text in source.notes:
            note(text)
        if folder is None:
            problems.append(
                f"dataset {source.label} is not in {request.config.data_root or 'any data root'}: "
                f"`uad-bench data --datasets {source.label}` shows what is expected where"
            )
            continue
        try:
            order = take_order(
                source.dataset,
                folder,
                recipe,
                stores,
                simulated=is_simulated(folder),
                limit=request.config.limit,
                template=request.config.template,
                tissues=tissues,
                mask_shift=request.config.mask_shift,
            )
        except UadBenchError as error:
            problems.append(str(error))
        else:
            orders.append((source.label, order))
    if not all((stores / order.folder_name).is_dir() for _, order in orders):
        problems += unwritable(request.config.said("cache"), stores.parent)
    needs = {label: absent_tools(order, stores) for label, order in orders}
    refuse((*problems, *missing_tools(needs)))
    return tuple(orders)


def _sources(request: Request, registry: Registry, problems: list[str]) -> Iterator[Source]:
    """The datasets that were named; ``all`` means every one that lies in the data root."""
    cache = cache_folder(request.config.cache)
    if request.config.datasets == ("all",):
        if request.config.data_root is None:
            root, datasets = (
                request.config.said(*words)
                for words in (("data-root", "DIR"), ("datasets", "bids:PATH"))
            )
            raise UadBenchError(f"say what to prepare: {root}, or {datasets}")
        named = [name for name in registry.names("dataset") if registry.dataset(name).info.folders]
        found = [
            find_source(
                name, request.config.data_root, registry, cache, request.config.lesion_pattern
            )
            for name in named
        ]
        yield from (source for source in found if source.folder is not None)
        return
    for name in request.config.datasets:
        try:
            yield find_source(
                name, request.config.data_root, registry, cache, request.config.lesion_pattern
            )
        except UadBenchError as error:
            problems.append(str(error))


def plan_scans(order: Order) -> Iterator[PlannedScan]:
    """Say of every scan what is to be done, reading each once."""
    for item in order.inputs:
        try:
            yield PlannedScan(item.scan.name, planned_steps(item, order.preparation))
        except ScanError as error:
            yield PlannedScan(item.scan.name, problem=str(error))


def expected_seconds(scans: Iterable[PlannedScan], preparation: Preparation, jobs: int) -> float:
    """Estimate the wall time of what is left to do, from what steps took here before."""
    usual = {
        name: statistics.median(recorded_seconds(preparation.steps, name) or [guess])
        for name, guess in SECONDS.items()
    }
    work = [sum(usual[step.name] for step in scan.steps if not step.done) for scan in scans]
    return max([sum(work) / jobs, *work], default=0.0)


def prepare_order(
    label: str, order: Order, request: Request, on_scan: Callable[[Outcome], None]
) -> PreparedOrder:
    """Prepare one dataset, or find it prepared; that no scan of it can be used is no error here.

    Raises:
        UadBenchError: a tool is missing, or nothing can be written.
    """
    stores = cache_folder(request.config.cache) / STORES
    try:
        store = prepare(order, stores, jobs=request.jobs, on_scan=on_scan)
    except NothingLeftError as error:
        return PreparedOrder(label, order, None, (), error.excluded)
    return PreparedOrder(label, order, store.folder, store.scans, store.excluded)
