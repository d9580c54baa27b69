"""IterMask2: what cannot be filled in well from the rest stays masked (Liang et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from uad_bench.method import FitContext, FitReport, FloatArray, MethodInfo, Slices
from uad_bench.models.batches import Batch, in_batches, spread
from uad_bench.models.blocks import UNet, image_head
from uad_bench.models.corruption.masking import shrinking
from uad_bench.models.diffusion.noise import noise_of_slices
from uad_bench.training import VALIDATION_SLICES, DeepReconstruction, Trainable, TrainingParams
from uad_bench.training.masked import MaskedTraining, filled_in

_QUANTILE = 0.8


class IterMask2(DeepReconstruction):
    """A U-Net sees noise where the mask is, the slice elsewhere, and its fine structure."""

    class Params(TrainingParams):
        """Hyper-parameters of the training, and of the masks after it."""

        steps: int = Field(default=600, ge=1)
        width: int = Field(default=16, ge=2, le=256)
        """Filters of the first block."""
        looks: int = Field(default=8, ge=2)
        """How often a slice is filled in at most. A mask that no longer shrinks ends it earlier."""

    info = MethodInfo(
        name="itermask2",
        title="IterMask2",
        citation="Liang et al. 2024",
        presets={
            "paper": {
                "width": 32,
                "steps": 90_000,
                "batch_size": 32,
                "learning_rate": 1e-4,
                "decay": 1.0,
                "checks": 100,
            }
        },
    )
    objective: ClassVar[tuple[str, ...]] = ("misfit",)
    budget: ClassVar[tuple[str, ...]] = ("width", "steps", "batch_size")
    params: Params
    network_: nn.Module
    seed_: int
    threshold_: float

    def build(self) -> None:
        """Set the untrained network."""
        width = self.params.width
        network = nn.Sequential(UNet(2, width, skips=True), image_head(width))
        self.network_ = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training on drawn masks."""
        return MaskedTraining(self.network_)

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        """Train; the noise of scoring follows from the seed too.

        Raises:
            DivergenceError: if a loss is no longer finite, or the network makes one slice of all
                that it sees nothing of but fine structure.
        """
        self.seed_ = context.seed
        report = super().fit(train, validation, context)
        self.refuse_collapse(self._first_made, validation)
        return report

    @torch.inference_mode()
    def calibrate(self, validation: Slices, context: FitContext) -> tuple[str, ...]:
        """Take the error that a fifth of what is masked at the second look exceeds."""
        self.network_.eval()

        def masked(batch: Batch) -> Tensor:
            _, (mask, made) = self._looks(batch, 0.0, 2)
            return torch.where(mask, (batch.image - made).abs(), torch.nan)

        seen = validation.take(spread(len(validation), VALIDATION_SLICES))
        self.threshold_ = float(np.nanquantile(in_batches(masked, seen, self.network_), _QUANTILE))
        return (f"pixels stay masked from an error of {self.threshold_:.3g} on",)

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return slices filled in where the last mask is, in [0, 1]."""
        *_, (_, made) = self._looks(batch, self.threshold_, self.params.looks)
        return made

    @torch.inference_mode()
    def _first_made(self, slices: Slices) -> FloatArray:
        self.network_.eval()
        return in_batches(lambda batch: next(self._looks(batch, 0.0, 1))[1], slices, self.network_)

    def _looks(self, batch: Batch, threshold: float, looks: int) -> Iterator[tuple[Tensor, Tensor]]:
        def look(number: int, mask: Tensor) -> Tensor:
            seed = (self.seed_, number)
            noise = noise_of_slices("gaussian", batch.image, batch.z, batch.spacing[1:], seed)
            return filled_in(self.network_, batch, mask, noise)

        return shrinking(look, batch.image, batch.brain, threshold, looks)
