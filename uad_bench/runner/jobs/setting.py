"""What all jobs of a run share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from uad_bench.runner.config import RunConfig
from uad_bench.runner.data.gather import Data
from uad_bench.runner.detectors.trainer import Trainer
from uad_bench.runner.events import Listener
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
