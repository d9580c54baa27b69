"""FPI: a network that says how foreign a pixel is, taught by healthy patches (Tan et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from uad_bench.method import FitContext, FitReport, FloatArray, MethodInfo, Slices
from uad_bench.models.batches import Batch, in_batches
from uad_bench.models.blocks import UNet
from uad_bench.models.corruption.foreign_patch import OtherPeople, interpolate
from uad_bench.training import DeepMethod, NetworkTraining, Trainable, TrainingParams


class FPI(DeepMethod):
    """A U-Net that learns the share of another healthy person in a patch of the slice."""

    class Params(TrainingParams):
        """Hyper-parameters of the network and its training."""

        steps: int = Field(default=800, ge=1)
        learning_rate: float = Field(default=2e-3, gt=0.0)
        width: int = Field(default=16, ge=2, le=256)
        """Filters of the first block."""

    budget = ("width", "steps", "batch_size")
    info = MethodInfo(
        name="fpi",
        title="FPI",
        citation="Tan et al. 2022",
        needs=frozenset({"other_people"}),
        presets={
            "paper": {
                "width": 32,
                "steps": 50_000,
                "batch_size": 32,
                "learning_rate": 1e-3,
                "checks": 50,
            }
        },
    )
    params: Params
    network_: nn.Module

    def build(self) -> None:
        """Set the untrained network."""
        width = self.params.width
        network = nn.Sequential(UNet(1, width, skips=True), nn.Conv2d(width, 1, kernel_size=1))
        self.network_ = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train on healthy slices with patches of each other.

        Raises:
            UadBenchError: if the training slices are of one person.
        """
        self._others = OtherPeople(train)
        try:
            return super().fit(train, validation, context)
        finally:
            del self._others

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training on foreign patches."""
        return _Training(self.network_, self._others)

    @torch.inference_mode()
    def score(self, slices: Slices) -> FloatArray:
        """Return the foreign share that the network sees, ``[N, 1, H, W]``, 0 outside the brain."""
        self.network_.eval()
        return in_batches(
            lambda batch: torch.sigmoid(self.network_(batch.image)) * batch.brain,
            slices,
            self.network_,
        )


class _Training(NetworkTraining):
    def __init__(self, network: nn.Module, others: OtherPeople) -> None:
        super().__init__(network)
        self.others = others

    def measures(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return the mean cross-entropy over the brain of each slice."""
        foreign = self.others.draw(batch.image, batch.z, generator)
        mixed, share = interpolate(batch.image, batch.brain, foreign, generator)
        misfit = nn.functional.binary_cross_entropy_with_logits(
            self.network(mixed), share, reduction="none"
        )
        inside = batch.brain.sum(dim=(1, 2, 3)).clamp(min=1)
        return {"cross_entropy": (misfit * batch.brain).sum(dim=(1, 2, 3)) / inside}
