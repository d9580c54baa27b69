"""What all jobs of a run share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from uad_bench.plugins.registry import PluginSources, open_registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import Data
from uad_bench.runner.data.source import cache_folder
from uad_bench.runner.detectors.trainer import Trainer
from uad_bench.runner.events import Listener, unheard
from uad_bench.runner.executors.contract import Slot
from uad_bench.runner.store import CellStore
from uad_bench.volumes.store.atlas import Atlas


@dataclass(frozen=True, slots=True)
class Setting:
    """What all jobs of a run share.

    Attributes:
        config: the run.
        store: its cells, and the results folder.
        device: the resolved torch device.
        atlas: the tissue prior of every method that needs one; by default the training dataset's.
        tell: told about every step.
    """

    config: RunConfig
    store: CellStore
    device: str
    atlas: Atlas | None
    tell: Listener

    def __reduce__(self) -> tuple[object, ...]:
        """Travel by name: plugins are loaded where it arrives, and nobody listens there yet."""
        plugins = PluginSources.gather(self.config.plugin).paths
        places = {"plugin": plugins, "cache": cache_folder(self.config.cache).absolute()}
        named = [
            tuple(one.name for one in some)
            for some in (self.store.protocols, self.store.postprocessings)
        ]
        config = self.config.model_copy(update=places)
        return _found_again, (config, self.device, self.atlas, *named)

    def inside(self, slot: Slot) -> Setting:
        """The same for a job in a slot: other listeners, and no more processes than it may have."""
        config = self.config
        if slot.processes is not None:
            config = config.model_copy(update={"jobs": slot.processes})
        store = replace(self.store, config=config, tell=slot.tell)
        return replace(self, config=config, store=store, tell=slot.tell)

    def trainer(self, data: Data, supervised_on: str = "") -> Trainer:
        """What trains detectors on the prepared data, and finds those that are kept.

        Args:
            data: the data.
            supervised_on: the dataset that a supervised method learns from; empty for others.
        """
        return Trainer(
            data.learned(supervised_on),
            data.training,
            self.store.results,
            self.config,
            self.device,
            self.tell,
            self.atlas,
        )


def _found_again(
    config: RunConfig,
    device: str,
    atlas: Atlas | None,
    protocols: tuple[str, ...],
    postprocessings: tuple[str, ...],
) -> Setting:
    """What a setting is in another process."""
    registry = open_registry(config.plugin)
    store = CellStore(
        ResultsFolder(config.results),
        config,
        unheard,
        tuple(registry.protocol(name) for name in protocols),
        registry.postprocessings(postprocessings),
    )
    return Setting(config, store, device, atlas, unheard)
