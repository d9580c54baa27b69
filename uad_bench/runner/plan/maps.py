"""What evaluating maps of another program will do, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import Protocol
from uad_bench.plugins.registry import Registry
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.readiness import refuse, unwritable
from uad_bench.runner.data.source import Source
from uad_bench.runner.data.sources import Sources, find_evaluated, find_training, finder
from uad_bench.runner.detectors.map_files import MadeElsewhere
from uad_bench.runner.plan.job import CheckData, EvaluateMaps, FindFiles, Job, Prepare, in_order


@dataclass(frozen=True, slots=True)
class MapsPlan:
    """Everything that an evaluation of maps will do, checked.

    Attributes:
        maps: the maps.
        protocols: the protocols.
        postprocessings: the post-processings.
        evaluated: the dataset.
        training: the dataset whose healthy validation scans have maps too, if there are any.
        config: how data are prepared, and maps scored.
    """

    maps: MadeElsewhere
    protocols: tuple[Protocol, ...]
    postprocessings: tuple[PostProcessing, ...]
    evaluated: Source
    training: Source | None
    config: RunConfig

    def jobs(self) -> tuple[Job, ...]:
        """Every job. The training dataset is prepared only where maps of it are there."""
        if self.training is None:
            files = FindFiles(None, (self.evaluated,))
            tests = Prepare(files, self.evaluated, "dataset")
            return in_order([EvaluateMaps(self.maps, tests)])
        data = CheckData.of(Sources(self.training, (self.evaluated,), ()))
        return in_order([EvaluateMaps(self.maps, data.evaluated[0], data)])


def plan_maps(maps: MadeElsewhere, config: RunConfig, registry: Registry) -> MapsPlan:
    """Check an evaluation of maps before any work.

    Args:
        maps: what was made elsewhere.
        config: the dataset, and how it is prepared and scored.
        registry: the datasets, protocols and post-processings.

    Raises:
        UadBenchError: a name, dataset, protocol, post-processing or folder that cannot be used.
    """
    dataset = config.one_dataset()
    if maps.method in registry.names("method"):
        raise UadBenchError(
            f"{config.said('name', maps.title)}: {maps.method} is a method of uad-bench; choose "
            "another name"
        )
    variants = registry.postprocessings(config.postprocessing)
    protocols = tuple(registry.protocol(name) for name in config.protocol)
    folders = (maps.folder, *(() if maps.healthy is None else (maps.healthy,)))
    gone = [
        f"{one}: no such folder; give one with a map per scan"
        for one in folders
        if not one.is_dir()
    ]
    refuse([*gone, *unwritable(config.said("results"), config.results)])
    find = finder(config, registry)
    evaluated = find_evaluated(dataset, config, registry, find)
    training = None if maps.healthy is None else find_training(config, registry, find)
    return MapsPlan(maps, protocols, variants, evaluated, training, config)
