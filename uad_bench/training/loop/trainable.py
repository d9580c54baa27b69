"""What the training loop asks for: something that says its loss for a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from uad_bench.models.batches import Batch


@dataclass(frozen=True, slots=True)
class Player:
    """Weights that are trained together, by an optimiser of their own.

    Attributes:
        name: what :class:`Turn` and messages call it.
        module: holds the weights; its best state is the one that is kept.
        turns: batches that it learns from in one step.
    """

    name: str
    module: nn.Module
    turns: int = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose loss is asked for, and when.

    Attributes:
        player: the name of the player that learns from the loss.
        step: the step of the loop, from 1.
        generator: the source of every random draw, on the batch's device.
    """

    player: str
    step: int
    generator: torch.Generator


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of one batch.

    Attributes:
        value: what the player minimises, a tensor without axes.
        parts: further tensors without axes, shown while it trains.
    """

    value: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Trainable(ABC):
    """Something that the training loop can train.

    An autoencoder is one player. A student learns from a teacher that is no player, and therefore
    stays as it is. A generator and its critic are two players, each with a loss of its own. In a
    step every player has its turns, in the order of :attr:`players`.

    Every random draw comes from the generator that is given.
    """

    @property
    @abstractmethod
    def players(self) -> tuple[Player, ...]:
        """Who is trained."""

    def prepared(self, batch: Batch) -> Batch:
        """Return slices with what depends on nothing else, such as their targets.

        Asked for once for each slice that stays on a GPU, before the first step, so that no step
        waits for it.
        """
        return batch

    @abstractmethod
    def loss(self, batch: Batch, turn: Turn) -> Loss:
        """Return the loss of the player whose turn it is."""

    @abstractmethod
    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return metrics of healthy validation slices: by name, one value per slice ``[B]``.

        The players are in evaluation mode, and no gradient is kept. At every check the generator
        starts anew, so that each check draws the same.
        """

    def judge(self, metrics: Mapping[str, float]) -> float:
        """Return by what the best state is chosen, lower is better: by default the first metric.

        Args:
            metrics: the means of what :meth:`validate` returned.
        """
        return next(iter(metrics.values()))

    def optimiser(self, player: Player, learning_rate: float) -> torch.optim.Optimizer:
        """Return a player's optimiser: by default Adam, one pass over each weight tensor."""
        return torch.optim.Adam(player.module.parameters(), lr=learning_rate, fused=True)

    @property
    def suspects(self) -> tuple[str, ...]:
        """Parameters that are named beside the learning rate if the loss is no longer finite."""
        return ()

    @property
    def extra_state(self) -> Mapping[str, Tensor]:
        """Tensors besides the players' weights that change in training and count later, by name.

        Counts for the notes, or the state of a network that follows a player. A training that was
        killed goes on with their values, which are copied into the same tensors. Change such a
        tensor in place.
        """
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts about the training that are worth keeping; asked for at its end."""
        return ()
