"""How much there is to do of each dataset: scans to simulate and prepare, slices to score."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from uad_bench.dataset import Split
from uad_bench.evaluation.scored import slices_with_brain
from uad_bench.phantom.specs import dataset_spec, split_of
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import STORES, phantom_folder, source_order, tissue_source
from uad_bench.runner.data.source import Source, cache_folder
from uad_bench.runner.preparation.orders import SECONDS, expected_seconds, plan_scans
from uad_bench.system.machine import fitting_processes
from uad_bench.volumes.recipe import Recipe, find_recipe
from uad_bench.volumes.steps.space import template_brain
from uad_bench.volumes.store.prepare import Order, whole_store
from uad_bench.volumes.store.prepared import SPLITS

SIMULATE_S = 1.5
"""What simulating a scan took on one core."""

START_S = 7.0
"""What the first scan of a process that simulates took: it reads and compiles what all need."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is of one dataset.

    Attributes:
        scans: by split.
        slices: by split; where the dataset is not prepared yet, as many as the template has.
        prepare_s: wall seconds until it is prepared.
        to_do: scans that are not prepared yet.
    """

    scans: dict[Split, int]
    slices: dict[Split, int]
    prepare_s: float = 0.0
    to_do: int = 0


def template_slices(recipe: Recipe) -> int:
    """Return how many slices of the template show brain."""
    brain = template_brain(recipe)
    return len(slices_with_brain(brain, (recipe.slice_mm, recipe.pixel_mm, recipe.pixel_mm)))


def find_amount(
    config: RunConfig, source: Source, order: Order | None, *, is_learned: bool = False
) -> Amount:
    """Return how much there is of a dataset, without simulating or preparing it.

    Args:
        config: the run.
        source: the dataset.
        order: what is to be prepared; ``None`` where the run simulates it.
        is_learned: whether healthy tissue is learned from it.
    """
    if order is None:
        folder, _ = phantom_folder(config, source)
        if not folder.is_dir():
            return _of_phantoms(config, source)
        tissues = tissue_source(config.tissues) if is_learned else None
        order = source_order(config, source.dataset, folder, tissues, simulated=True)
    store = whole_store(cache_folder(config.cache) / STORES / order.folder_name)
    if store is not None:
        scans = {split: len(store.scans_of(split)) for split in SPLITS}
        return Amount(scans, {split: len(store.split(split)) for split in SPLITS})
    left = [*plan_scans(order)]
    seconds = expected_seconds(left, order.preparation, fitting_processes(config.jobs))
    return _unprepared(config, (item.scan.split for item in order.inputs), seconds)


def _of_phantoms(config: RunConfig, source: Source) -> Amount:
    """How much there will be of a dataset that is simulated by the run."""
    spec, (_, subjects) = dataset_spec(source.label), phantom_folder(config, source)
    people: dict[Split, list[int]] = {split: [] for split in SPLITS}
    for subject in range(1, subjects + 1):
        people[split_of(subject, spec.splits)].append(subject)
    splits = [
        split
        for split, some in people.items()
        for subject in some[: config.limit]
        for _ in range(spec.session_count(subject))
    ]
    work = len(splits) * (SIMULATE_S + SECONDS["slice"])
    return _unprepared(config, splits, START_S + work / fitting_processes(config.jobs))


def _unprepared(config: RunConfig, splits: Iterable[Split], seconds: float) -> Amount:
    depth = template_slices(find_recipe(config.recipe, config.template))
    found = list(splits)
    scans: dict[Split, int] = {split: found.count(split) for split in SPLITS}
    slices = {split: count * depth for split, count in scans.items()}
    return Amount(scans, slices, seconds, len(found))
