"""Which data a run stands on: real datasets where they are found, phantoms where they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from uad_bench.cells import short_hash
from uad_bench.dataset import Dataset
from uad_bench.discovery.people.traits import read_traits
from uad_bench.errors import UadBenchError
from uad_bench.phantom.brain.labelmap import find_label_maps
from uad_bench.phantom.datasets import VERSION
from uad_bench.phantom.layouts import is_simulated, write_layout
from uad_bench.phantom.parallel import simulate_in_pool, simulation_pool
from uad_bench.phantom.scan import PhantomScan
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.source import Source, cache_folder, locked
from uad_bench.runner.data.sources import Sources
from uad_bench.runner.data.training_data import (
    lent_masks,
    refuse_same_voxels,
    refuse_unfit,
    tested_twice,
)
from uad_bench.runner.events import Listener, Noted, Progressed, Started
from uad_bench.system.machine import fitting_processes
from uad_bench.volumes.checks.numbering import misnumbered
from uad_bench.volumes.recipe import find_recipe
from uad_bench.volumes.steps.tissue_maps import load_mapping
from uad_bench.volumes.store.prepare import Order, prepare, take_order
from uad_bench.volumes.store.prepared import SPLITS, PreparedDataset
from uad_bench.volumes.store.standardise import TissueSource
from uad_bench.volumes.store.workers import Outcome

PHANTOM_SEED = 0
"""Phantoms stand in for fixed data sets, so their seed is fixed and not the training seed."""

STORES = "prepared"
"""The cache's folder of prepared datasets."""

HEALTHY_FACTOR = 4
"""How many more healthy phantoms there are than patients of one dataset."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to be prepared of each dataset of a run.

    Attributes:
        training: of the training dataset, where there is one.
        evaluated: of the evaluated datasets, by name.
        supervised: of those that supervised methods learn from, by name.
    """

    training: Order | None
    evaluated: Mapping[str, Order]
    supervised: Mapping[str, Order] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Data:
    """Prepared datasets of a run.

    Attributes:
        training: the healthy people that detectors learn from, and that thresholds come from.
        evaluated: the datasets of patients, by name.
        supervised: those that supervised methods learn from, divided, by name.
    """

    training: PreparedDataset
    evaluated: Mapping[str, PreparedDataset]
    supervised: Mapping[str, PreparedDataset] = field(default_factory=dict)

    def learned(self, supervised_on: str) -> PreparedDataset:
        """Return what a detector learns from: the named dataset, or healthy people."""
        return self.supervised[supervised_on] if supervised_on else self.training

    def tested(self, supervised_on: str, label: str) -> PreparedDataset:
        """Return a dataset whose test scans a detector may be tested on."""
        return self.supervised[label] if label == supervised_on else self.evaluated[label]


def gather(config: RunConfig, sources: Sources, tell: Listener) -> Data:
    """Simulate what is simulated and prepare everything, or take it from the cache.

    Raises:
        UadBenchError: if a dataset has no usable scan, or the training dataset lacks a split, has
            lesions, or is tested on.
    """
    orders = find_files(config, sources.training, sources.evaluated, tell)
    assert orders.training is not None
    training = prepare_one(config, sources.training, orders.training, "training dataset", tell)
    evaluated = {
        one.label: prepare_one(config, one, orders.evaluated[one.label], "dataset", tell)
        for one in sources.evaluated
    }
    return put_together(config, sources.training.label, training, evaluated, {})


def find_files(
    config: RunConfig,
    training: Source | None,
    evaluated: Sequence[Source],
    tell: Listener,
    *,
    supervised: Sequence[Source] = (),
    simulate: bool = True,
) -> Orders:
    """Simulate what is simulated, and check the files of every dataset before any is prepared.

    Args:
        config: the run.
        training: the training dataset, where there is one.
        evaluated: the evaluated datasets.
        tell: told about every step.
        supervised: the datasets that supervised methods learn from.
        simulate: whether to; without, phantoms, which are fit by their making, are left out.

    Raises:
        UadBenchError: a dataset that contradicts itself, training data with lesions or that are
            tested on, or a scan that is tested twice.
    """
    everything = (*(() if training is None else (training,)), *evaluated, *supervised)
    phantoms = _simulate_missing(config, everything, tell) if simulate else {}

    def order(source: Source, tissues: TissueSource | None) -> Order | None:
        folder = source.folder or phantoms.get(source.label)
        if folder is None:
            return None
        simulated = source.folder is None or is_simulated(folder)
        return source_order(config, source.dataset, folder, tissues, simulated=simulated)

    tell(Started("check the files of every dataset"))
    learned = None if training is None else order(training, tissue_source(config.tissues))
    tested, taught = (
        {one.label: found for one in sources if (found := order(one, None)) is not None}
        for sources in (evaluated, supervised)
    )
    refuse_unfit("" if training is None else training.label, learned, tested, taught)
    for note in (*tested_twice(tested), *lent_masks(tested)):
        tell(Noted(note))
    return Orders(learned, tested, taught)


def prepare_one(
    config: RunConfig, source: Source, order: Order, role: str, tell: Listener
) -> PreparedDataset:
    """Prepare a dataset, or take it from the cache, and tell which scans are left out.

    Args:
        config: the run.
        source: the dataset.
        order: what is to be prepared of it.
        role: what the user is told that it is.
        tell: told about every scan.

    Raises:
        UadBenchError: if it has no usable scan.
    """
    mark = " (simulated)" if order.simulated else ""
    tell(Started(f"prepare {role} {source.label}{mark}"))
    for note in source.notes:
        tell(Noted(note))
    stores = cache_folder(config.cache) / STORES
    store = prepare(order, stores, jobs=config.jobs, on_scan=_tally(order, tell))
    for exclusion in store.excluded:
        tell(Noted(f"{source.label}: {exclusion.scan} is left out: {exclusion.reason}"))
    labels = {scan.name: scan.standard.labels for scan in store.scans}
    for line in misnumbered((one.scan, labels.get(one.scan.name, ())) for one in order.inputs):
        tell(Noted(f"{source.label}: {line}"))
    return replace(store, title=source.title, people=read_traits(order.root))


def put_together(
    config: RunConfig,
    label: str,
    training: PreparedDataset,
    evaluated: Mapping[str, PreparedDataset],
    supervised: Mapping[str, PreparedDataset],
) -> Data:
    """Check prepared datasets against one another.

    Args:
        config: the run.
        label: the training dataset's name in tables.
        training: the training dataset.
        evaluated: the evaluated datasets, by name.
        supervised: those that supervised methods learn from, by name.

    Raises:
        UadBenchError: the training dataset lacks a split, or its scans are tested on; or a dataset
            that supervised methods learn from has a part without lesions.
    """
    for split in ("train", "validation"):
        if len(training.split(split)) == 0:
            raise UadBenchError(
                f"training dataset {config.train} has no {split} scan: set the column `split` of "
                "its participants.tsv"
            )
    for on, dataset in supervised.items():
        for split in SPLITS:
            if not any(scan.has_lesion for scan in dataset.scans_of(split)):
                raise UadBenchError(
                    f"{config.said('supervised-on', on)}: no lesion is left in its {split} scans: "
                    "give more subjects, or name their splits in participants.tsv"
                )
    refuse_same_voxels(label, training, evaluated, supervised)
    return Data(training, evaluated, supervised)


def source_order(
    config: RunConfig,
    dataset: Dataset,
    folder: Path,
    tissues: TissueSource | None,
    *,
    simulated: bool,
) -> Order:
    """Return what a run prepares of one dataset.

    Args:
        config: the run.
        dataset: the adapter.
        folder: the dataset's own folder.
        tissues: where the tissue maps of a training dataset come from.
        simulated: whether its scans are phantoms.

    Raises:
        UadBenchError: no scan at all, the dataset contradicts itself, or its exclusions cannot be
            read.
    """
    return take_order(
        dataset,
        folder,
        find_recipe(config.recipe, config.template),
        cache_folder(config.cache) / STORES,
        simulated=simulated,
        limit=config.limit,
        template=config.template,
        tissues=tissues,
        mask_shift=config.mask_shift,
    )


def tissue_source(text: str | None) -> TissueSource | None:
    """Read ``--tissues``: nothing, ``atropos``, or the path of a mapping file.

    Raises:
        UadBenchError: a file that is no mapping.
    """
    return (
        "atropos"
        if text == "atropos"
        else None
        if text is None
        else load_mapping(Path(text).expanduser())
    )


def _tally(order: Order, tell: Listener) -> Callable[[Outcome], None]:
    """Report how many of an order's scans are done."""
    done = count(1)
    return lambda outcome: tell(Progressed(next(done), len(order.inputs), outcome.name))


def source_folder(config: RunConfig, source: Source) -> Path:
    """Return where the files of a dataset are, or its phantoms are or will be."""
    return source.folder or phantom_folder(config, source)[0]


def phantom_folder(config: RunConfig, source: Source) -> tuple[Path, int]:
    """Return where the phantoms of a dataset are or will be, and how many subjects they are."""
    version = short_hash([VERSION, PHANTOM_SEED, _fingerprint(config.anatomies)])
    healthy = source.dataset.info.disease == "healthy"
    subjects = config.phantoms * (HEALTHY_FACTOR if healthy else 1)
    name = f"{source.label}-{subjects}-{version}"
    return cache_folder(config.cache) / "phantoms" / name, subjects


def _simulate_missing(
    config: RunConfig, sources: Sequence[Source], tell: Listener
) -> dict[str, Path]:
    """Write the phantoms that the cache lacks, each dataset whole or not at all."""
    folders: dict[str, Path] = {}
    missing: list[tuple[str, int]] = []
    for source in sources:
        if source.folder is not None:
            continue
        folder, subjects = phantom_folder(config, source)
        folders[source.label] = folder
        if not folder.is_dir() and (source.label, subjects) not in missing:
            missing.append((source.label, subjects))
    if not missing:
        return folders
    jobs = fitting_processes(config.jobs)
    with simulation_pool(jobs) as pool:
        for label, subjects in missing:
            tell(Started(f"simulate {label}"))
            scans = simulate_in_pool(
                label,
                subjects=subjects,
                seed=PHANTOM_SEED,
                anatomies=config.anatomies,
                pool=pool,
                ahead=2 * jobs,
            )
            with locked(folders[label]):
                if not folders[label].is_dir():
                    write_layout(label, folders[label], _counted(scans, subjects, tell))
    return folders


def _counted(scans: Iterator[PhantomScan], subjects: int, tell: Listener) -> Iterator[PhantomScan]:
    """Pass the scans on and tell how many subjects are done."""
    for scan in scans:
        yield scan
        tell(Progressed(scan.subject, subjects))


def _fingerprint(anatomies: Path | None) -> list[tuple[str, int]]:
    """Names and sizes of the label maps, so that other anatomies make other phantoms."""
    if anatomies is None:
        return []
    return [(file.name, file.stat().st_size) for file in find_label_maps(anatomies)]
