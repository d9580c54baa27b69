"""U-Net: a network that is taught lesions by their masks (Ronneberger et al. 2015).

It is the supervised method that Bercea et al. 2022 set beside theirs (Tables 2 and 3).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FloatArray, MethodInfo, Slices
from uad_bench.models.batches import Batch, in_batches
from uad_bench.models.blocks import UNet
from uad_bench.models.losses.pixelwise import dice_cross_entropy
from uad_bench.training import DeepMethod, Loss, Player, Trainable, TrainingParams, Turn

_SOFTNESS = 4.0
"""The score is the sigmoid of the logit divided by this: ranks stay, and 16 bits tell apart what
the sigmoid itself would round to 0 or 1. The score of even odds is 0.5 as before."""

_IGNORED = 2


class SupervisedUNet(DeepMethod, Trainable):
    """A U-Net with skip connections and one logit per pixel."""

    class Params(TrainingParams):
        """Hyper-parameters of the network and its training."""

        batch_size: int = Field(default=8, ge=2)
        width: int = Field(default=16, ge=2, le=256)
        """Filters of the first block."""
        cross_entropy_weight: float = Field(default=0.8, ge=0.0)
        """Weight of the cross-entropy beside the Dice loss."""

    budget = ("width", "steps", "batch_size")
    info = MethodInfo(
        name="unet",
        title="U-Net",
        citation="Ronneberger et al. 2015",
        needs=frozenset({"lesion_masks"}),
        presets={
            "paper": {
                "width": 32,
                "steps": 1600,
                "batch_size": 64,
                "learning_rate": 0.01,
                "decay": 0.97,
                "decay_per": "epoch",
                "checks": 100,
                "patience": 10,
                "cross_entropy_weight": 0.8,
            }
        },
    )
    params: Params
    network_: nn.Module

    def build(self) -> None:
        """Set the untrained network."""
        width = self.params.width
        head = nn.Conv2d(width, 1, kernel_size=1)
        network = nn.Sequential(UNet(1, width, skips=True), head)
        self.network_ = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def trainable(self, context: FitContext) -> Trainable:
        """Return itself: it says its own loss."""
        return self

    @property
    def players(self) -> tuple[Player, ...]:
        """The network."""
        return (Player("network", self.network_),)

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        """Return the loss of a batch."""
        return Loss(self._misfit(batch).mean())

    def validate(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return the loss of each validation slice."""
        return {"dice_cross_entropy": self._misfit(batch)}

    def _misfit(self, batch: Batch) -> Tensor:
        """The loss of each slice; voxels that the masks ignore do not count.

        Raises:
            UadBenchError: the slices have no masks.
        """
        if batch.lesion is None:
            raise UadBenchError("unet learns from lesion masks, and these slices have none")
        counted = batch.brain & (batch.lesion != _IGNORED)
        return dice_cross_entropy(
            self.network_(batch.image), batch.lesion, counted, self.params.cross_entropy_weight
        )

    @torch.inference_mode()
    def score(self, slices: Slices) -> FloatArray:
        """Return how sure the network is of a lesion, ``[N, 1, H, W]``, 0 outside the brain."""
        self.network_.eval()
        return in_batches(
            lambda batch: torch.sigmoid(self.network_(batch.image) / _SOFTNESS) * batch.brain,
            slices,
            self.network_,
        )
