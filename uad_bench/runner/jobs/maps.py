"""Evaluating anomaly maps that another program made: their scores become cells as a detector's."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from uad_bench.cells import MapsUse, short_hash
from uad_bench.dataset import Split
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import validation_histogram
from uad_bench.method import Params
from uad_bench.runner.data.gather import Data, source_folder
from uad_bench.runner.data.source import Source
from uad_bench.runner.detectors.map_files import find_maps, read_scores
from uad_bench.runner.detectors.scoring import AnomalyMaps, ScoredMap, stored_maps
from uad_bench.runner.environment import Stopwatch
from uad_bench.runner.events import Started
from uad_bench.runner.executors.contract import Done
from uad_bench.runner.jobs.cells import Evaluated, Scored, Scorer, write_cells
from uad_bench.runner.jobs.setting import Setting
from uad_bench.runner.plan.job import EvaluateMaps
from uad_bench.runner.store import Origin
from uad_bench.volumes.store.inputs import dataset_scans
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

SEED = 0
"""The seed in the names of these cells; nothing is drawn."""


def evaluate_maps(job: EvaluateMaps, done: Done, setting: Setting) -> Evaluated:
    """Read and check every map, and then write every cell that is pending.

    Raises:
        UadBenchError: maps that cannot be scored, or cells that stand on others.
    """
    maps, store, space = job.maps, setting.store, setting.config.space
    dataset, watch = done.of(job.tests, PreparedDataset), Stopwatch(setting.device)
    with _read(maps.folder, job.tests.source, dataset, "test", setting) as tests:
        digests, healthy, validation = [_digest(maps.folder, tests)], None, {}
        if job.data is not None and maps.healthy is not None:
            learned, source = done.of(job.data, Data).training, job.data.training.source
            with _read(maps.healthy, source, learned, "validation", setting) as normal:
                digests.append(_digest(maps.healthy, normal))
                validation = {
                    name: validation_histogram(normal.scored(name, space)) for name in normal.levels
                }
            healthy = learned.use("validation")
        use = MapsUse(digest=short_hash(digests), healthy=healthy)
        specs = store.specs(maps.method, "", Params(), SEED, job.tests.source.label)
        store.refuse_other_maps(specs, use, dataset.use("test"))
        origin = Origin(maps.title, supervised=maps.supervised, maps=use)
        pending = store.pending(origin.code, specs)
        if not pending:
            return Evaluated(store.kept(specs, pending), 0)
        setting.tell(Started(job.name))
        scorer = Scorer(origin, validation, watch)
        return write_cells(scorer, Scored.of(tests, scorer, setting), specs, pending, setting)


def _read(
    folder: Path, source: Source, dataset: PreparedDataset, split: Split, setting: Setting
) -> AbstractContextManager[AnomalyMaps]:
    """Find the map of every scan of a split, and read them scan by scan.

    Raises:
        UadBenchError: no scan that a map could be of, or a map is missing or of no scan.
    """
    config, variants = setting.config, setting.store.postprocessings
    scans = dataset.scans_of(split)
    if not scans:
        raise UadBenchError(f"dataset {source.label} has no {split} scan that a map could be of")
    everyone = dataset_scans(source.dataset, source_folder(config, source), None)
    whose = f"{split} scan of {source.label}"
    paths = find_maps(folder, scans, {one.name for one in everyone if one.split == split}, whose)
    setting.tell(Started(f"read the maps of {source.label}"))

    def score(scan: PreparedScan) -> ScoredMap:
        return read_scores(paths[scan.name], dataset, scan, variants, config.space)

    return stored_maps(score, dataset, split, setting.tell, config.space)


def _digest(folder: Path, maps: AnomalyMaps) -> str:
    """Hash the files of the maps in a folder.

    Raises:
        UadBenchError: there is nothing in them.
    """
    if not any(levels.any() for scans in maps.levels.values() for levels in scans):
        raise UadBenchError(f"{folder}: every map is 0 in the brain: there is nothing to evaluate")
    names = [scan.name for scan in maps.scans]
    return short_hash([list(pair) for pair in zip(names, maps.digests, strict=True)])
