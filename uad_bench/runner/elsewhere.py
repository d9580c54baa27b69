"""Cells of anomaly maps that were made elsewhere: scored as a detector's own, and marked."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from uad_bench.cells import (
    CellRecord,
    CellSpec,
    EvaluationSpace,
    MapsUse,
    short_hash,
    shortened,
)
from uad_bench.dataset import Split
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.histograms import ScoreHistogram
from uad_bench.evaluation.ordering import Ordering, mean_ordering, ordering
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import Protocol, validation_histogram
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.histogram_files import save_histograms
from uad_bench.plugins.declarations import MOST_NAME
from uad_bench.plugins.registry import Registry
from uad_bench.results import ResultsFolder, read_cell, write_cell
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import gather, gather_one, source_folder
from uad_bench.runner.data.map_files import find_maps, read_scores
from uad_bench.runner.data.readiness import refuse, unwritable
from uad_bench.runner.data.sources import Source, Sources, find_evaluated, find_training, finder
from uad_bench.runner.detectors.scoring import example_slice, scored_scan, typical_scan
from uad_bench.runner.environment import Stopwatch
from uad_bench.runner.events import (
    CellScored,
    CellWritten,
    Example,
    Listener,
    Progressed,
    Started,
    told,
)
from uad_bench.runner.listeners import pictures
from uad_bench.runner.run import Outcome
from uad_bench.system.disk import writing
from uad_bench.volumes.store.inputs import dataset_scans
from uad_bench.volumes.store.prepared import PreparedDataset

HEALTHY = "healthy"
"""The folder, in that of the maps, with those of healthy validation scans."""

SEED = 0
"""The seed in the names of these cells; nothing is drawn."""


@dataclass(frozen=True, slots=True)
class MadeElsewhere:
    """Anomaly maps of another program.

    Attributes:
        folder: the maps of the evaluated dataset's test scans.
        title: what tables call the method.
        healthy: the maps of the training dataset's validation scans; ``None`` without thresholds.
        supervised: whether the method saw lesion masks in training.
    """

    folder: Path
    title: str
    healthy: Path | None
    supervised: bool

    @property
    def method(self) -> str:
        """Its name in cells and on the command line: the title in small letters and hyphens."""
        words = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return shortened(words, MOST_NAME["method"]) if words else f"maps-{short_hash(self.title)}"


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """The maps of one split: read, checked and scored.

    Attributes:
        dataset: the prepared dataset.
        split: the split.
        space: the voxels that are scored.
        files: per post-processing, a file of scores per scan, in order.
        digest: hash of the maps.
        example: a slice to show; ``None`` in native space, or where no scan has a lesion.
        orderings: per post-processing, what 16 bits keep of the maps' order.
    """

    dataset: PreparedDataset
    split: Split
    space: EvaluationSpace
    files: Mapping[str, Sequence[Path]]
    digest: str
    example: Example | None
    orderings: Mapping[str, Ordering]

    def scans(self, postprocessing: str) -> Iterator[ScoredScan]:
        """Yield scan after scan what the evaluation needs."""
        scans = self.dataset.scans_of(self.split)
        for scan, file in zip(scans, self.files[postprocessing], strict=True):
            yield scored_scan(self.dataset, scan, np.load(file), self.space)


@dataclass(frozen=True, slots=True, eq=False)
class _Evaluation:
    """Everything that the cells of one evaluation share."""

    maps: MadeElsewhere
    label: str
    tests: _Scored
    use: MapsUse
    results: ResultsFolder
    watch: Stopwatch

    def kept(self, protocol: Protocol, variant: PostProcessing) -> CellRecord | None:
        """The cell of an earlier evaluation of the same maps.

        Raises:
            UadBenchError: the cell stands on other maps, data or versions.
        """
        path = self.results.cell(self.spec(protocol, variant).name)
        record = read_cell(path) if path.is_file() else None
        if record is None or record.state == "failed":
            return None
        stored = (record.maps, record.data, record.protocol_version, record.postprocessing_version)
        if stored != (self.use, self.tests.dataset.use("test"), protocol.version, variant.version):
            raise UadBenchError(
                f"{path} stands on other maps, other data or another version than this evaluation: "
                "give it another --name or --results folder, or replace the cells with "
                "--overwrite all"
            )
        return record

    def record(
        self, protocol: Protocol, variant: PostProcessing, validation: ScoreHistogram | None
    ) -> CellRecord:
        """Evaluate one cell and write its histograms."""
        found = protocol.evaluate(lambda: self.tests.scans(variant.name), validation)
        spec = self.spec(protocol, variant)
        file = self.results.histograms / f"{spec.name}.npz"
        save_histograms(file, found.histograms)
        return CellRecord(
            spec=spec,
            protocol_version=protocol.version,
            postprocessing_version=variant.version,
            state="done",
            method_title=self.maps.title,
            supervised=self.maps.supervised,
            maps=self.use,
            data=self.tests.dataset.use("test"),
            thresholds=dict(found.thresholds),
            metrics=dict(found.metrics),
            missing=dict(found.missing),
            scans=found.scans,
            histograms=str(file.relative_to(self.results.root)),
            notes=self.tests.orderings[variant.name].faults,
            environment=self.watch.read(),
        )

    def spec(self, protocol: Protocol, variant: PostProcessing) -> CellSpec:
        """What identifies a cell."""
        return CellSpec(
            method=self.maps.method,
            seed=SEED,
            dataset=self.label,
            protocol=protocol.name,
            postprocessing=variant.name,
            space=self.tests.space,
        )


def evaluate_maps(
    maps: MadeElsewhere, config: RunConfig, registry: Registry, listeners: Sequence[Listener] = ()
) -> Outcome:
    """Score maps under every protocol and post-processing, and write the cells.

    Every map is read and checked before anything is written.

    Args:
        maps: what was made elsewhere.
        config: the dataset, and how it is prepared and scored.
        registry: the datasets, protocols and post-processings.
        listeners: told about every step and every cell.

    Raises:
        UadBenchError: in one line, what cannot be.
    """
    if maps.method in registry.names("method"):
        raise UadBenchError(
            f"--name {maps.title}: {maps.method} is a method of uad-bench; choose another name"
        )
    variants = registry.postprocessings(config.postprocessing)
    kinds = [(registry.protocol(name), variant) for name in config.protocol for variant in variants]
    results, tell = ResultsFolder(config.results), told(listeners)
    refuse(unwritable("--results", results.root))
    evaluated, training = _sources(maps, config, registry)
    watch = Stopwatch("cpu")
    with tempfile.TemporaryDirectory(prefix="uad-bench-") as folder:
        dataset, healthy_data = _prepared(evaluated, training, config, tell)
        read = partial(_read, config=config, variants=variants, tell=tell)
        scratch = Path(folder)
        tests = read(maps.folder, evaluated, dataset, "test", scratch=scratch / "test")
        healthy, validation = None, dict[str, ScoreHistogram]()
        if maps.healthy is not None and training is not None and healthy_data is not None:
            healthy = read(
                maps.healthy, training, healthy_data, "validation", scratch=scratch / "healthy"
            )
            for one in variants:
                validation[one.name] = validation_histogram(healthy.scans(one.name))
        use = MapsUse(
            digest=short_hash([part.digest for part in (tests, healthy) if part is not None]),
            healthy=None if healthy is None else healthy.dataset.use("validation"),
        )
        with results.lock():
            cells = _Evaluation(maps, evaluated.label, tests, use, results, watch)
            kept = [None if config.overwrite == "all" else cells.kept(*kind) for kind in kinds]
            records = [record for record in kept if record is not None]
            left = [kind for kind, record in zip(kinds, kept, strict=True) if record is None]
            tell = told((pictures(results), tell))
            for protocol, variant in left if config.overwrite != "failed" else []:
                tell(Started(f"evaluate {maps.title}, {protocol.name}, {variant.name}"))
                record = cells.record(protocol, variant, validation.get(variant.name))
                tell(CellScored(record, tests.example, variant.mark))
                write_cell(results, record)
                tell(CellWritten(record))
                records.append(record)
    return Outcome(tuple(records), len(records) - sum(record is not None for record in kept))


def _sources(
    maps: MadeElsewhere, config: RunConfig, registry: Registry
) -> tuple[Source, Source | None]:
    """The evaluated dataset, and the one whose healthy scans have maps, if there are any."""
    find = finder(config, registry)
    evaluated = find_evaluated(config.one_dataset(), config, registry, find)
    return evaluated, None if maps.healthy is None else find_training(config, registry, find)


def _prepared(
    evaluated: Source, training: Source | None, config: RunConfig, tell: Listener
) -> tuple[PreparedDataset, PreparedDataset | None]:
    """Prepare the dataset or both, as a run would."""
    if training is None:
        return gather_one(config, evaluated, tell), None
    data = gather(config, Sources(training, (evaluated,), ()), tell)
    return data.evaluated[evaluated.label], data.training


def _read(
    folder: Path,
    source: Source,
    dataset: PreparedDataset,
    split: Split,
    *,
    config: RunConfig,
    variants: Sequence[PostProcessing],
    scratch: Path,
    tell: Listener,
) -> _Scored:
    """Read and check the maps of a split.

    Args:
        folder: the maps.
        source: where the dataset comes from.
        dataset: the prepared dataset.
        split: the split.
        config: how maps are scored.
        variants: the post-processings.
        scratch: takes the scores, for as long as they are needed.
        tell: told about every scan.
    """
    scans = dataset.scans_of(split)
    if not scans:
        raise UadBenchError(f"dataset {source.label} has no {split} scan that a map could be of")
    everyone = dataset_scans(source.dataset, source_folder(config, source), None)
    whose = f"{split} scan of {source.label}"
    paths = find_maps(folder, scans, {one.name for one in everyone if one.split == split}, whose)
    tell(Started(f"read the maps of {source.label}"))
    scratch.mkdir(exist_ok=True)
    shown = typical_scan(scans, dataset) if config.space == "template" else None
    files: dict[str, list[Path]] = {one.name: [] for one in variants}
    found: dict[str, list[Ordering]] = {one.name: [] for one in variants}
    digests, example, is_empty = [], None, True
    for number, scan in enumerate(scans):
        scored = read_scores(paths[scan.name], dataset, scan, variants, config.space)
        for name, levels in scored.levels.items():
            files[name].append(scratch / f"{number}-{name}.npy")
            with writing(scratch):
                np.save(files[name][-1], levels)
            found[name].append(ordering(scored.maps[name][scored.brain], scored.healthy))
            is_empty = is_empty and not levels.any()
        if scan is shown:
            example = example_slice(scan, dataset.slices(scan), dataset, None, scored.maps)
        digests.append([scan.name, scored.digest])
        tell(Progressed(number + 1, len(scans), scan.name))
    if is_empty:
        raise UadBenchError(f"{folder}: every map is 0 in the brain: there is nothing to evaluate")
    return _Scored(
        dataset=dataset,
        split=split,
        space=config.space,
        files=files,
        digest=short_hash(digests),
        example=example,
        orderings={name: mean_ordering(some) for name, some in found.items()},
    )
