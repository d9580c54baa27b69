"""Networks with a latent distribution: their hyper-parameters, training and method."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from uad_bench.method import FitContext, Params, tunable
from uad_bench.models.batches import Batch
from uad_bench.models.latent.gaussians import Gaussian, NormScope, Sampler
from uad_bench.models.latent.variational import VariationalNetwork
from uad_bench.models.losses.pixelwise import absolute_error
from uad_bench.training.loop.trainable import Loss, Trainable, Turn
from uad_bench.training.reconstruction import (
    PAPER_TRAINING,
    NetworkReconstruction,
    ReconstructionParams,
    ReconstructionTraining,
)


class VariationalParams(ReconstructionParams):
    """Hyper-parameters of the methods with a latent distribution."""

    beta: float = tunable(1e-5, 1e-5, 1e-2, log=True, ge=0.0)
    """Weight of the latent's divergence from its prior in the loss."""
    snr: float = tunable(16.0, 4.0, 64.0, log=True, gt=0.0)
    """Signal-to-noise ratio of the latent's noise (Bercea et al. 2022, section 2.2)."""
    reparameterisation: Literal["snr", "plain"] = "snr"
    """Whether the latent's noise scales with the signal (``snr``) or does not (``plain``)."""
    norm_scope: NormScope = "sample"
    """What the norms of ``snr`` run over: each sample, or the whole batch."""
    warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the steps in which the divergence's weight rises from 0 to ``beta``, in a straight
    line."""
    n_samples: int = Field(default=0, ge=0)
    """Draws of the latent whose reconstructions are averaged when the detector is used; 0: the
    mean of the latent is used instead."""

    def beta_at(self, step: int) -> float:
        """Weight of the divergence in the loss of a step, counted from 1."""
        rise = self.warmup * self.steps
        return self.beta * min(1.0, step / rise) if rise else self.beta

    @property
    def sampler(self) -> Sampler:
        """How the latent is sampled in training."""
        return Sampler(self.snr if self.reparameterisation == "snr" else None, self.norm_scope)


class VariationalTraining(ReconstructionTraining):
    """The same with a latent that diverges little from its prior.

    ``paper``: ``L1 + tv_weight TV + perceptual_weight PL + beta KL`` (Bercea et al. 2022, eq. 3);
    ``native``: the network's own misfit, ``+ beta KL``. The best state has the lowest misfit
    ``+ beta KL`` on validation slices, without noise.
    """

    network: VariationalNetwork[Any]
    params: VariationalParams

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        """Return the loss of a batch, its L1 and its KL."""
        image, target = self.example(batch, turn.generator)
        self.count_cleaned(batch.image, target)
        predicted, divergence = self.network(image, batch.z, turn.generator)
        predicted = Gaussian(predicted.mean * batch.brain, predicted.log_variance)
        l1, kl = absolute_error(target, predicted.mean), divergence.mean()
        misfit = l1 if self.params.loss == "paper" else self._misfit(target, predicted, batch)
        penalty = self.params.beta_at(turn.step) * kl
        total = self.total(target, predicted.mean, misfit, penalty)
        return Loss(total, {"l1": l1.mean(), "kl": kl})

    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return L1 and KL without noise, and the native misfit where it is trained."""
        image, target = self.example(batch, generator)
        predicted, divergence = self.network(image, batch.z)
        predicted = Gaussian(predicted.mean * batch.brain, predicted.log_variance)
        metrics = {"l1": absolute_error(target, predicted.mean), "kl": divergence}
        if self.params.loss == "paper":
            return metrics
        return metrics | {"misfit": self._misfit(target, predicted, batch)}

    def judge(self, metrics: Mapping[str, float]) -> float:
        """Return the misfit by the loss that is trained, and beta KL."""
        return super().judge(metrics) + self.params.beta * metrics["kl"]

    @property
    def suspects(self) -> tuple[str, ...]:
        """Beta, where it counts."""
        return ("beta",) if self.params.beta else ()

    def _misfit(self, target: Tensor, predicted: Gaussian, batch: Batch) -> Tensor:
        return self.network.misfit(target, predicted, batch.brain)


class VariationalReconstruction(NetworkReconstruction):
    """A reconstruction method that is a :class:`VariationalNetwork` and its hyper-parameters."""

    objective: ClassVar[tuple[str, ...]] = ("l1", "kl")
    Params: ClassVar[type[Params]] = VariationalParams
    params: VariationalParams
    network_: VariationalNetwork[Any]

    @abstractmethod
    def network(self) -> VariationalNetwork[Any]:
        """Return the untrained network."""

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training by the paper's loss, or the native one."""
        return VariationalTraining(self.network_, self.params, context)

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return pseudo-healthy slices ``[B, 1, H, W]`` in [0, 1].

        Where the latent is drawn, a slice goes alone, and its noise follows from its place in the
        atlas: it depends neither on the slices around it nor on the device.
        """
        if not self.params.n_samples:
            return self.network_.decode(self.network_.encode(batch.image))
        drawn = [
            self.network_.mean_of_draws(
                image[None], self.params.n_samples, torch.Generator().manual_seed(z)
            )
            for image, z in zip(batch.image, batch.z.tolist(), strict=True)
        ]
        return torch.cat(drawn)


PAPER: Mapping[str, Any] = MappingProxyType(
    {
        **PAPER_TRAINING,
        "beta": 1e-3,
        "snr": 16.0,
        "reparameterisation": "snr",
        "norm_scope": "batch",
        "warmup": 0.0,
    }
)
"""How Bercea et al. 2022 train, with their latent; ``norm_scope`` is their code's."""
