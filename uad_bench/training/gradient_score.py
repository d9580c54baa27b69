"""Anomaly maps from the gradient of a variational network's divergence by its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from uad_bench.models.batches import Batch
from uad_bench.training.loop.arithmetic import repeatable
from uad_bench.training.scaled_score import ScaledScore
from uad_bench.training.variational import VariationalReconstruction

SMOOTHED_PX = 8
"""Side of the mean filter over the gradient. The later code of Zimmerer et al. has a Gaussian of 3
pixels, cut off at 7 x 7."""


class GradientScore(ScaledScore, VariationalReconstruction):
    """Inherit it beside the method whose training is shared, and before it."""

    def smoothed_gradient(self, batch: Batch) -> Tensor:
        """Return ``|d divergence / d image|`` at the latent's mean, smoothed, ``[B, 1, H, W]``."""
        with (
            repeatable(batch.image.device, self.params),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            image = batch.image.clone().requires_grad_()
            divergence = self.network_.divergence(self.network_.encode(image), batch.z.clone())
            (gradient,) = torch.autograd.grad(divergence.sum(), image)
        margin = (SMOOTHED_PX - 1) // 2
        padding = (margin, SMOOTHED_PX - 1 - margin) * 2
        return nn.functional.avg_pool2d(
            nn.functional.pad(gradient.abs(), padding, mode="replicate"), SMOOTHED_PX, stride=1
        )
