"""One network that learns to give back healthy slices, and the method around it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, Params
from uad_bench.models.backbones.efficientnet import find_lite0
from uad_bench.models.backbones.weights import file_checksum
from uad_bench.models.batches import Batch
from uad_bench.models.corruption.self_supervision import Corruption, clean, corrupt
from uad_bench.models.losses.perceptual import (
    PerceptualDistance,
    PerceptualName,
    load_lite0_distance,
    load_vgg19,
)
from uad_bench.models.losses.pixelwise import absolute_error, squared_error, total_variation
from uad_bench.training.deep import DeepReconstruction
from uad_bench.training.loop.params import TrainingParams
from uad_bench.training.loop.trainable import Loss, Player, Trainable, Turn


class ReconstructionParams(TrainingParams):
    """Hyper-parameters of a network that learns to give back healthy slices."""

    width: int = Field(default=16, ge=2, le=256)
    """Filters of the first block."""
    loss: Literal["paper", "native"] = "paper"
    """The shared loss of Bercea et al. 2022, or the method's own reconstruction term. Total
    variation and perceptual distance count in the former only."""
    tv_weight: float = Field(default=0.1, ge=0.0)
    """Weight of the reconstruction's total variation in the loss."""
    corruption: Corruption = "rectangles"
    """What is painted into the input and must be left out of the reconstruction: bright
    rectangles, coarse noise, or nothing."""
    clean_target: bool = False
    """Whether hyperintense outliers of healthy people are removed from the target. The input
    keeps them."""
    perceptual_weight: float = Field(default=0.1, ge=0.0)
    """Weight of the perceptual distance in the loss."""
    perceptual: PerceptualName = "efficientnet-lite0"
    """The network in whose features the perceptual distance is taken; ``vgg19`` in the paper."""
    vgg19_weights: Path | None = None
    """File with the ImageNet weights of VGG19, in torchvision's layout."""
    vgg19_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    """SHA-256 that this file must have, 64 hexadecimal digits."""

    @model_validator(mode="after")
    def _has_weights(self) -> Self:
        if self.perceived and self.perceptual == "vgg19" and self.vgg19_weights is None:
            raise PydanticCustomError(
                "no_weights", "perceptual vgg19 needs a weight file: set vgg19_weights"
            )
        return self

    @property
    def perceived(self) -> bool:
        """Whether the loss has a perceptual distance."""
        return self.loss == "paper" and self.perceptual_weight > 0


class ReconstructionTraining(Trainable):
    """A network that is given a corrupted healthy slice learns to return the slice.

    The reconstruction is multiplied by the brain mask here as it is when it is used. ``paper``:
    ``L1 + tv_weight TV + perceptual_weight PL`` (Bercea et al. 2022, eq. 3, without its
    divergence); ``native``: the mean squared error over the brain. The best state has the lowest
    L1, or native misfit, on validation slices.

    Args:
        network: from slices ``[B, 1, H, W]`` to slices.
        params: hyper-parameters.
        context: where it is trained.

    Raises:
        UadBenchError: if the perceptual loss has no weights.
    """

    def __init__(
        self, network: nn.Module, params: ReconstructionParams, context: FitContext
    ) -> None:
        self.network, self.params, self.context = network, params, context
        self.perceptual = _load_perceptual(params, context.device)
        self._seen = torch.zeros((), dtype=torch.int64)
        self._cleaned = torch.zeros(2, dtype=torch.int64, device=context.device)

    @property
    def players(self) -> tuple[Player, ...]:
        """The network."""
        return (Player("network", self.network),)

    def prepared(self, batch: Batch) -> Batch:
        """Return slices with cleaned targets, where the method wants them."""
        if not self.params.clean_target:
            return batch
        return replace(batch, target=clean(batch.image, batch.brain))

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        """Return the loss of a batch, and its L1."""
        image, target = self.example(batch, turn.generator)
        self.count_cleaned(batch.image, target)
        made = self.network(image) * batch.brain
        l1 = absolute_error(target, made)
        misfit = l1 if self.params.loss == "paper" else squared_error(target, made, batch.brain)
        return Loss(self.total(target, made, misfit), {"l1": l1.mean()})

    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return L1, and the native misfit where it is trained."""
        image, target = self.example(batch, generator)
        made = self.network(image) * batch.brain
        l1 = {"l1": absolute_error(target, made)}
        if self.params.loss == "paper":
            return l1
        return l1 | {"misfit": squared_error(target, made, batch.brain)}

    def judge(self, metrics: Mapping[str, float]) -> float:
        """Return the misfit by the loss that is trained."""
        return metrics["l1" if self.params.loss == "paper" else "misfit"]

    @property
    def extra_state(self) -> Mapping[str, Tensor]:
        """How many slices were drawn, and what was cleaned."""
        return {"seen": self._seen, "cleaned": self._cleaned}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the loss looked at, and what was cleaned."""
        if self.params.loss == "native":
            loss = "native loss"
        elif self.perceptual is None:
            loss = "no perceptual loss"
        else:
            loss = f"perceptual loss: {self.perceptual.source}"
        notes = [loss]
        if self.context.tissue_prior is not None:
            notes.append(f"tissue prior: {self.context.tissue_prior.source}")
        if self.params.clean_target:
            pixels, slices = self._cleaned.tolist()
            notes.append(
                f"target cleaned of {pixels} pixels in {slices} of {int(self._seen)} slices drawn"
            )
        return tuple(notes)

    def example(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the network's input and what it should make of it, ``[B, 1, H, W]`` each.

        The slices, corrupted as the input and cleaned as the target where the method wants it.
        """
        spacing = batch.spacing[1:]
        image = corrupt(batch.image, batch.brain, spacing, self.params.corruption, generator)
        return image, batch.image if batch.target is None else batch.target

    def count_cleaned(self, image: Tensor, target: Tensor) -> None:
        """Count the pixels of which the targets ``[B, 1, H, W]`` of training were cleaned."""
        self._seen += len(image)
        if self.params.clean_target:
            differs = (image != target).flatten(1)
            self._cleaned += torch.stack((differs.sum(), differs.any(dim=1).sum()))

    def total(
        self, target: Tensor, made: Tensor, misfit: Tensor, penalty: Tensor | float = 0.0
    ) -> Tensor:
        """Return the loss of a batch, a tensor without axes.

        Args:
            target: ``[B, 1, H, W]``, 0 outside the brain.
            made: the reconstruction, 0 outside the brain.
            misfit: how far it is from the target, ``[B]``.
            penalty: on something other than the reconstruction.
        """
        loss = misfit.mean()
        if self.params.loss == "paper":
            loss = loss + self.params.tv_weight * total_variation(made).mean()
        loss = loss + penalty
        if self.perceptual is not None:
            loss = loss + self.params.perceptual_weight * self.perceptual(target, made).mean()
        return loss


class NetworkReconstruction(DeepReconstruction):
    """A reconstruction method that is one network and its hyper-parameters."""

    objective: ClassVar[tuple[str, ...]] = ("l1",)
    budget: ClassVar[tuple[str, ...]] = ("width", "steps", "batch_size")
    Params: ClassVar[type[Params]] = ReconstructionParams
    params: ReconstructionParams
    network_: nn.Module

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the untrained network, from slices ``[B, 1, H, W]`` in [0, 1] to slices."""

    @classmethod
    def resolve(cls, params: Any) -> Any:
        """Return the parameters with the checksum of VGG19's file, where the loss looks at it.

        A detector is then known by the weights behind its loss, not by their file's name.

        Raises:
            UadBenchError: if the weights of the perceptual loss are missing, are others, or are no
                weights.
        """
        if not params.perceived:
            return params
        if params.perceptual == "vgg19":
            found = file_checksum(params.vgg19_weights, params.vgg19_sha256)
            load_vgg19(params.vgg19_weights, found, "cpu")
            return params.model_copy(update={"vgg19_sha256": found})
        try:
            find_lite0()
        except UadBenchError as error:
            raise UadBenchError(
                f"{error}; perceptual_weight 0 leaves the perceptual loss out"
            ) from None
        return params

    def build(self) -> None:
        """Set the untrained network."""
        self.network_ = self.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training by the paper's loss, or the native one."""
        return ReconstructionTraining(self.network_, self.params, context)

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return pseudo-healthy slices ``[B, 1, H, W]`` in [0, 1]."""
        made: Tensor = self.network_(batch.image)
        return made


def _load_perceptual(params: ReconstructionParams, device: str) -> PerceptualDistance | None:
    """The perceptual distance, where the loss has one."""
    if not params.perceived:
        return None
    if params.perceptual == "vgg19" and params.vgg19_weights is not None:
        return load_vgg19(params.vgg19_weights, params.vgg19_sha256, device)
    return load_lite0_distance(device)


PAPER_TRAINING: Mapping[str, Any] = MappingProxyType(
    {
        "width": 32,
        "steps": 50_000,
        "batch_size": 2,
        "learning_rate": 5e-4,
        "decay": 0.97,
        "decay_per": "epoch",
        "checks": 100,
        "patience": 10,
        "loss": "paper",
        "tv_weight": 1.0,
        "corruption": "rectangles",
        "clean_target": True,
        "perceptual_weight": 0.1,
    }
)
"""How Bercea et al. 2022 (section 3) train all their methods.

The clean target is their code's. The paper trains "until convergence", which is read as: at most
50,000 steps, and an end after a tenth of them without a better state.
"""
