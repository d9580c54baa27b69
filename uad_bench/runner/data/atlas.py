"""Atlases around a run: built from its training dataset, and kept from the people it tests on."""

from __future__ import annotations

from pathlib import Path

from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import Registry
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import Data, gather
from uad_bench.runner.data.readiness import refuse, unfit_data, unwritable
from uad_bench.runner.data.sources import Sources, find_training, refuse_useless_pattern
from uad_bench.runner.events import Listener, Started
from uad_bench.volumes.store.atlas import Atlas, build_atlas, known_people, refuse_existing
from uad_bench.volumes.store.prepared import PreparedDataset


def build_training_atlas(
    config: RunConfig, registry: Registry, folder: Path, tell: Listener
) -> Atlas:
    """Prepare the training dataset as a run would, and write its atlas.

    Args:
        config: the run whose training dataset it is; no method or evaluated dataset is looked at.
        registry: the adapters.
        folder: where the atlas goes; must not be there yet.
        tell: told about every scan.

    Raises:
        UadBenchError: the dataset cannot be used, or the folder is there or cannot be written.
    """
    refuse_existing(folder)
    training = find_training(config, registry)
    refuse_useless_pattern(config.lesion_pattern, (training,))
    sources = Sources(training, (), ())
    refuse(
        (
            *unwritable("OUT", folder),
            *unfit_data(config, sources),
        )
    )
    data = gather(config, sources, tell)
    tell(Started(f"build the atlas of {training.label}"))
    return build_atlas(data.training, training.label, folder)


def refuse_leaks(atlas: Atlas, data: Data, training: str, *, said: str) -> None:
    """Refuse an atlas that knows a person whom this run tests or validates on.

    Args:
        atlas: the prior of the run.
        data: the prepared datasets.
        training: the training dataset's name in tables.
        said: how messages name the setting that holds the atlas.

    Raises:
        UadBenchError: naming the people, dataset by dataset.
    """
    datasets = [(training, data.training), *data.evaluated.items()]
    leaks = dict.fromkeys(
        leak for label, dataset in datasets for leak in _leaks(atlas, label, dataset)
    )
    if leaks:
        raise UadBenchError(
            f"{said} {atlas.folder}: built from people whom this run must not know, "
            f"{'; '.join(leaks)}: build it from this run's training subjects alone"
        )


def _leaks(atlas: Atlas, label: str, dataset: PreparedDataset) -> list[str]:
    found = []
    for split in ("validation", "test"):
        people = known_people(atlas, label, dataset.simulated, dataset.scans_of(split))
        if people:
            found.append(f"{split} subjects of {label}: {people}")
    return found
