"""Base classes that tie the training loop to the method contract."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from uad_bench.method import (
    FitContext,
    FitReport,
    FloatArray,
    Method,
    Params,
    ReconstructionMethod,
    Slices,
)
from uad_bench.models.batches import Batch, in_batches, spread
from uad_bench.training.loop.collapse import refuse_collapse
from uad_bench.training.loop.params import TrainingParams
from uad_bench.training.loop.train import train_players
from uad_bench.training.loop.trainable import Trainable

_LOOKED_AT = 8
"""Healthy validation slices on which a collapse is looked for."""


class DeepMethod(Method):
    """A method whose networks the shared loop trains.

    :meth:`build` sets the untrained networks, :meth:`trainable` says how they learn.
    """

    budget: ClassVar[tuple[str, ...]] = ("steps", "batch_size")
    Params: ClassVar[type[Params]] = TrainingParams
    params: TrainingParams

    @abstractmethod
    def build(self) -> None:
        """Set the untrained networks, in attributes that end in an underscore."""

    @abstractmethod
    def trainable(self, context: FitContext) -> Trainable:
        """Return what the loop trains; the networks are built.

        A method that is a :class:`Trainable` itself returns ``self``.
        """

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that :meth:`build` set."""
        return tuple(value for value in vars(self).values() if isinstance(value, nn.Module))

    def initialise(self, context: FitContext) -> None:
        """Build the networks: weights that follow from the seed, on the context's device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            self.build()
        for network in self.networks:
            network.to(context.device).eval()

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train on healthy slices and keep the state that does best on the validation slices.

        Raises:
            DivergenceError: if a loss is no longer finite.
        """
        self.initialise(context)
        return train_players(self.trainable(context), self.params, train, validation, context)


class DeepReconstruction(DeepMethod, ReconstructionMethod):
    """A deep method whose anomaly map is the residual between a slice and its reconstruction."""

    @abstractmethod
    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return pseudo-healthy slices ``[B, 1, H, W]`` in [0, 1].

        The networks are in evaluation mode, and no gradient is kept. What comes out for a slice
        may not depend on the others of the batch, nor on its place there.
        """

    def refuse_collapse(self, make: Callable[[Slices], FloatArray], validation: Slices) -> None:
        """Stop where what is made of healthy slices is one slice, whatever it is made of.

        Args:
            make: from slices to what is made of them, ``[N, 1, H, W]``.
            validation: healthy slices, some of which are looked at.

        Raises:
            DivergenceError: if what is made differs by less than a tenth of what the slices do.
        """
        seen = validation.take(spread(len(validation), _LOOKED_AT))
        made, image, brain = map(torch.from_numpy, (make(seen), seen.image, seen.brain))
        refuse_collapse(made, image, "the network", brain)

    @torch.inference_mode()
    def reconstruct(self, slices: Slices) -> FloatArray:
        """Return pseudo-healthy slices ``[N, 1, H, W]`` in [0, 1], 0 outside the brain."""
        for network in self.networks:
            network.eval()
        return in_batches(
            lambda batch: self.reconstruct_batch(batch) * batch.brain, slices, self.networks[0]
        )
