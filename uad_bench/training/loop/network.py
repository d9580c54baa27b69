"""The training of one network whose loss is what it is validated by."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from uad_bench.models.batches import Batch
from uad_bench.training.loop.trainable import Loss, Player, Trainable, Turn


class NetworkTraining(Trainable):
    """One network; it learns the mean, over the slices, of the first of its measures."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    @property
    def players(self) -> tuple[Player, ...]:
        """The network."""
        return (Player("network", self.network),)

    @abstractmethod
    def measures(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return what is measured of each slice, by name, ``[B]``: first what is minimised."""

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        """Return the mean of the first measure."""
        return Loss(next(iter(self.measures(batch, turn.generator).values())).mean())

    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return the measures."""
        return self.measures(batch, generator)
