"""FAE: an autoencoder of a pretrained network's features, scored by SSIM (Meissen et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from uad_bench.method import FitContext, MethodInfo
from uad_bench.models.backbones import SliceName
from uad_bench.models.batches import Batch
from uad_bench.models.features.autoencoder import FeatureAutoencoder
from uad_bench.models.losses.ssim import ssim
from uad_bench.training.feature_method import (
    TrainedFeatureMethod,
    TrainedFeatureParams,
    mean_inside,
)
from uad_bench.training.loop.trainable import Loss, Player, Trainable, Turn

DEVIATIONS = 6
"""Standard deviations of a channel that make up the range of 1 that SSIM's constants are for."""


class FAE(TrainedFeatureMethod):
    """Learns to give back healthy features; where their structure is another, it cannot.

    A channel is brought to mean 1/2 and standard deviation 1/6: the constants of SSIM are those of
    signals of range 1, and features have any.
    """

    class Params(TrainedFeatureParams):
        """Hyper-parameters of the autoencoder."""

        backbone: SliceName = "efficientnet-lite0"
        """The pretrained network whose features are given back; all but the default one need
        ``weights``."""
        steps: int = Field(default=1000, ge=1)
        blur_mm: float = Field(default=0.0, ge=0.0)
        width: int = Field(default=32, ge=2, le=256)
        """Filters of the first of four blocks; the others have 1.5, 2 and 3 times as many."""
        dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
        """Share of the filters that are left out at random while it trains."""

    info = MethodInfo(
        name="fae",
        title="FAE",
        citation="Meissen et al. 2022",
        presets={
            "paper": {
                "width": 100,
                "steps": 10_000,
                "batch_size": 32,
                "learning_rate": 2e-4,
                "decay": 1.0,
            }
        },
    )
    params: Params

    def build(self) -> None:
        """Set the untrained autoencoder."""
        super().build()
        self.network_ = FeatureAutoencoder(
            sum(self.channels), self.params.width, self.params.dropout
        )

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training of the autoencoder."""
        return _Training(self)

    def distance(self, batch: Batch) -> Tensor:
        """Return ``d / (2 - d)`` of what SSIM lacks of 1, ``[B, h, w]``.

        The order of the places is that of ``d``, which has an upper end: scores that are pressed
        against it would become equal as 16-bit numbers.
        """
        lack = self.dissimilarity(batch)
        return lack / (2 - lack).clamp(min=1e-6)

    def dissimilarity(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Return 1 - SSIM of features and of what is made of them, ``[B, h, w]`` in [0, 2].

        The mean over the channels. With a generator, filters are left out.
        """
        features = 0.5 + self.features(batch) / DEVIATIONS
        return 1 - ssim(features, self.network_(features, generator)).mean(dim=1)


class _Training(Trainable):
    def __init__(self, method: FAE) -> None:
        self.method = method

    @property
    def players(self) -> tuple[Player, ...]:
        return (Player("autoencoder", self.method.network_),)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        apart = self.method.dissimilarity(batch, turn.generator)
        return Loss(mean_inside(apart, batch.brain).mean())

    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        return {"dissimilarity": mean_inside(self.method.dissimilarity(batch), batch.brain)}
