"""DISYRE: synthetic anomalies of every degree are undone (Naval Marimont et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from uad_bench.method import FitContext, FloatArray, MethodInfo, Slices
from uad_bench.models.batches import Batch, in_batches
from uad_bench.models.corruption.synthetic import synthesise
from uad_bench.models.diffusion.denoiser import Denoiser
from uad_bench.models.diffusion.schedule import TIMES
from uad_bench.models.losses.pixelwise import absolute_error, squared_error
from uad_bench.training import NetworkTraining, Trainable
from uad_bench.training.diffusion import DenoiserMethod, DenoiserParams


class DISYRE(DenoiserMethod):
    """Cold diffusion: not noise is taken off, but an anomaly of which the degree is told."""

    class Params(DenoiserParams):
        """Hyper-parameters of the training, and of the score."""

        degrees: int = Field(default=4, ge=1)
        """Degrees, evenly spread over 0 to 1, at which a slice is looked at."""

    info = MethodInfo(
        name="disyre",
        title="DISYRE",
        citation="Naval Marimont et al. 2024",
        presets={
            "paper": {
                "width": 32,
                "steps": 100_000,
                "batch_size": 96,
                "learning_rate": 1e-4,
                "checks": 100,
                "degrees": 5,
            }
        },
    )
    scores_by_residual: ClassVar[bool] = False
    params: Params

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training on synthetic anomalies."""
        return _Training(self.network_)

    def reconstruct_batch(self, batch: Batch) -> Tensor:
        """Return the mean of what the network makes of slices at each degree, in [0, 1]."""
        return self._restored(batch).mean(dim=0)

    @torch.inference_mode()
    def score(self, slices: Slices) -> FloatArray:
        """Return the mean absolute residual over the degrees, ``[N, 1, H, W]``."""
        self.network_.eval()
        return in_batches(
            lambda batch: (batch.image - self._restored(batch)).abs().mean(dim=0) * batch.brain,
            slices,
            self.network_,
        )

    def _restored(self, batch: Batch) -> Tensor:
        count = self.params.degrees
        found = []
        for place in range(count):
            degree = batch.image.new_full((len(batch.image),), (place + 0.5) / count)
            found.append(restored(self.network_, batch.image, degree).clamp(0, 1))
        return torch.stack(found)


def restored(network: Denoiser, image: Tensor, degree: Tensor) -> Tensor:
    """Return slices ``[B, 1, H, W]`` without an anomaly of this degree, ``[B]``, of any values."""
    made: Tensor = image + network(image, TIMES * degree)
    return made


class _Training(NetworkTraining):
    network: Denoiser

    def measures(self, batch: Batch, generator: torch.Generator) -> Mapping[str, Tensor]:
        given, degree = synthesise(batch.image, batch.brain, batch.spacing[1:], generator)
        made = restored(self.network, given, degree) * batch.brain
        # Not cut at 0 and 1: nothing would be learned where a bright anomaly is made brighter.
        misfit = squared_error(batch.image, made, batch.brain)
        return {"misfit": misfit, "l1": absolute_error(batch.image, made.clamp(0, 1))}
