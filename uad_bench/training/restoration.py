"""Methods that restore a slice by a variational network which another method trains."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from uad_bench.method import FitContext, Slices
from uad_bench.models.batches import Batch, spread
from uad_bench.models.latent.restoration import Restoration
from uad_bench.models.latent.variational import VariationalNetwork
from uad_bench.training.loop.arithmetic import repeatable
from uad_bench.training.variational import VariationalParams, VariationalReconstruction


class RestorationParams(VariationalParams):
    """Hyper-parameters of the training, and of the restoration after it."""

    restoration_steps: int = Field(default=100, ge=20)
    """Steps of the descent on the image; 500 in You et al. 2019. They are larger the fewer they
    are, and with fewer than 20 the image was driven to 0 and 1."""
    clip: float = Field(default=100.0, gt=0.0)
    """Bound on the gradient at every pixel."""
    tv_change: float | None = Field(default=None, ge=0.0)
    """Weight of the total variation of what was changed; ``null``: chosen on healthy validation
    slices, the one that changes them least."""
    tv_largest: float = Field(default=0.38, gt=0.0)
    """Largest weight to choose from. You et al. 2019 have 3.8; on slices in [0, 1] with unit
    variance a pixel's misfit has a slope of at most 1, and a weight above 0.5 holds small lesions
    where they are."""
    tv_choices: int = Field(default=5, ge=2)
    """Weights to choose from, evenly spread from 0 on."""
    tv_slices: int = Field(default=4, ge=1)
    """Healthy validation slices, evenly spread, on which it is chosen."""


class RestorationMethod(VariationalReconstruction):
    """Inherit it beside the method whose training is shared, and before it."""

    params: RestorationParams
    tv_change_: float

    def calibrate(self, validation: Slices, context: FitContext) -> tuple[str, ...]:
        """Choose the weight of the total variation that changes healthy slices least."""
        if self.params.tv_change is not None:
            self.tv_change_ = self.params.tv_change
            return ()
        rows = spread(len(validation), self.params.tv_slices)
        batch = Batch.read(validation, rows, torch.device(context.device))
        weights = torch.linspace(0, self.params.tv_largest, self.params.tv_choices).tolist()
        changes = []
        for weight in weights:
            restored = self._restore(batch, weight)
            changes.append(float((restored - batch.image).abs().mean()))
        # the smallest of equal ones: it restores most
        self.tv_change_ = weights[min(range(len(weights)), key=changes.__getitem__)]
        return (f"weight of the changes' total variation: {self.tv_change_:.3g}",)

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return the restored slices ``[B, 1, H, W]`` in [0, 1]."""
        return self._restore(batch, self.tv_change_)

    def _restore(self, batch: Batch, weight: float) -> Tensor:
        network: VariationalNetwork[Any] = self.network_.eval()
        with torch.inference_mode(False):
            brain, z = batch.brain.clone(), batch.z.clone()

        def bound(image: Tensor) -> Tensor:
            predicted, divergence = network(image, z)
            cost: Tensor = network.misfit(image, predicted, brain) + divergence
            return cost

        restore = Restoration(bound, self.params.restoration_steps, self.params.clip)
        weights = batch.image.new_full((len(batch.z),), weight)
        with repeatable(batch.image.device, self.params):
            return restore(batch.image, batch.brain, weights)
