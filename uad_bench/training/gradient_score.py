"""Anomaly maps from the gradient of a variational network's divergence by its input."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from uad_bench.method import FitContext, FloatArray, Slices
from uad_bench.models.batches import Batch, in_batches, spread
from uad_bench.models.scores import bounded, typical
from uad_bench.training.selection import VALIDATION_SLICES
from uad_bench.training.variational import VariationalReconstruction

SMOOTHED_PX = 8
"""Side of the mean filter over the gradient, as in the code of Zimmerer et al."""


class GradientScore(VariationalReconstruction):
    """Inherit it beside the method whose training is shared, and before it.

    What :meth:`raw_score` gives has no natural scale. The anomaly map is ``s / (s + scale)`` with
    the scale of healthy validation slices, which keeps every ranking.
    """

    scores_by_residual: ClassVar[bool] = False
    scale_: float

    @abstractmethod
    def raw_score(self, batch: Batch) -> Tensor:
        """Return a map ``[B, 1, H, W]``, 0 or more."""

    def calibrate(
        self,
        validation: Slices,
        context: FitContext,  # noqa: ARG002
    ) -> tuple[str, ...]:
        """Take the scale of healthy validation slices."""
        seen = validation.take(spread(len(validation), VALIDATION_SLICES))
        self.scale_ = typical(self._raw(seen)[seen.brain])
        return (f"scale of the anomaly maps: {self.scale_:.3g}",)

    def score(self, slices: Slices) -> FloatArray:
        """Return the anomaly map ``[N, 1, H, W]`` in [0, 1), 0 outside the brain."""
        return bounded(self._raw(slices), self.scale_)

    def smoothed_gradient(self, batch: Batch) -> Tensor:
        """Return ``|d divergence / d image|`` at the latent's mean, smoothed, ``[B, 1, H, W]``."""
        with torch.inference_mode(False), torch.enable_grad():
            image = batch.image.clone().requires_grad_()
            divergence = self.network_.divergence(self.network_.encode(image), batch.z.clone())
            (gradient,) = torch.autograd.grad(divergence.sum(), image)
        margin = (SMOOTHED_PX - 1) // 2
        padding = (margin, SMOOTHED_PX - 1 - margin) * 2
        return nn.functional.avg_pool2d(
            nn.functional.pad(gradient.abs(), padding, mode="replicate"), SMOOTHED_PX, stride=1
        )

    @torch.inference_mode()
    def _raw(self, slices: Slices) -> FloatArray:
        self.network_.eval()
        return in_batches(lambda batch: self.raw_score(batch) * batch.brain, slices, self.network_)
