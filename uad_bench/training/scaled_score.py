"""Anomaly maps without a natural scale: brought into [0, 1) by the scale of healthy slices."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from uad_bench.method import FitContext, FloatArray, Slices
from uad_bench.models.batches import Batch, in_batches, spread
from uad_bench.models.scores import bounded, typical
from uad_bench.training.deep import DeepReconstruction
from uad_bench.training.loop.selection import VALIDATION_SLICES


class ScaledScore(DeepReconstruction):
    """A method whose anomaly map is ``s / (s + scale)``, which keeps every ranking of ``s``.

    Where another method's training is shared, inherit this beside that method, and before it.
    """

    scores_by_residual: ClassVar[bool] = False
    scale_: float

    @abstractmethod
    def raw_score(self, batch: Batch) -> Tensor:
        """Return a map ``[B, 1, H, W]``, 0 or more; what is outside the brain does not count."""

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

    @torch.inference_mode()
    def _raw(self, slices: Slices) -> FloatArray:
        for network in self.networks:
            network.eval()
        return in_batches(
            lambda batch: self.raw_score(batch) * batch.brain, slices, self.networks[0]
        )
