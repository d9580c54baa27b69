"""ceVAE, scored by gradient and reconstruction together (Zimmerer et al. 2018)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from uad_bench.method import Method, MethodInfo
from uad_bench.models.batches import Batch
from uad_bench.training.gradient_score import GradientScore

from .cevae import CEVAE
from .cevae_gradient import PRESETS, CEVAEGradient


class CEVAECombined(GradientScore, CEVAE):
    """``|dKL/dx|``, smoothed, times the squared residual, after the authors' later code."""

    class Params(CEVAEGradient.Params):
        """Hyper-parameters: those of ``cevae-gradient``, whose training it shares."""

    info = MethodInfo(
        name="cevae-combined",
        title="ceVAE combined",
        citation="Zimmerer et al. 2018",
        first_trial=CEVAE.info.first_trial,
        presets=PRESETS,
    )
    trained_as: ClassVar[type[Method] | None] = CEVAE
    params: Params

    def raw_score(self, batch: Batch) -> Tensor:
        """Return the product, ``[B, 1, H, W]``, 0 or more."""
        residual = batch.image - self.reconstruct_batch(batch) * batch.brain
        return self.smoothed_gradient(batch) * residual.square()
