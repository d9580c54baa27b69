"""Reverse distillation: a student that gives back a teacher's layers (Deng and Li 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from uad_bench.method import FitContext, MethodInfo
from uad_bench.models.backbones import STRIDE, LayeredName
from uad_bench.models.batches import Batch
from uad_bench.models.features.distillation import Student
from uad_bench.training.feature_method import (
    TrainedFeatureMethod,
    TrainedFeatureParams,
    mean_inside,
)
from uad_bench.training.loop.network import NetworkTraining
from uad_bench.training.loop.trainable import Player, Trainable


class RD4AD(TrainedFeatureMethod):
    """A bottleneck takes three layers of the teacher in; a decoder makes them from it, last first.

    The loss is 1 - cosine of each place's features, as the paper writes it. (The published code
    takes one cosine of a whole flattened layer.)
    """

    class Params(TrainedFeatureParams):
        """Hyper-parameters of the student."""

        backbone: LayeredName = "efficientnet-lite0"
        """The pretrained network that is the teacher; all but the default one need ``weights``."""

    info = MethodInfo(
        name="rd4ad",
        title="RD4AD",
        citation="Deng and Li 2022",
        presets={
            "paper": {"steps": 5_000, "batch_size": 16, "learning_rate": 5e-3, "decay": 1.0},
        },
    )
    levels = (1, 4)
    params: Params

    def build(self) -> None:
        """Set the untrained student."""
        super().build()
        self.student_ = Student(self.channels)

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training of the student."""
        return _Training(self)

    def distance(self, batch: Batch) -> Tensor:
        """Return the sum over the layers of 1 - cosine, on the grid, ``[B, h, w]``."""
        size = [length // STRIDE for length in batch.image.shape[2:]]
        grown = [
            nn.functional.interpolate(layer[:, None], size, mode="bilinear", align_corners=False)
            for layer in self.disagreement(batch)
        ]
        return torch.cat(grown, dim=1).sum(dim=1)

    def disagreement(self, batch: Batch) -> list[Tensor]:
        """Return 1 - cosine between teacher and student at each place of each layer, ``[B, h, w]``.

        The layers are normalised: their values are of both signs, and some channels far larger.
        """
        wanted = self.normaliser_.each(self.layers(batch))
        made = self.student_(wanted)
        return [
            1 - nn.functional.cosine_similarity(*pair) for pair in zip(wanted, made, strict=True)
        ]


class _Training(NetworkTraining):
    def __init__(self, method: RD4AD) -> None:
        super().__init__(method.student_)
        self.method = method

    def optimiser(self, player: Player, learning_rate: float) -> torch.optim.Optimizer:
        weights = player.module.parameters()
        return torch.optim.Adam(weights, lr=learning_rate, betas=(0.5, 0.999), fused=True)

    def measures(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        layers = self.method.disagreement(batch)
        total = torch.stack([mean_inside(layer, batch.brain) for layer in layers]).sum(dim=0)
        return {"disagreement": total}
