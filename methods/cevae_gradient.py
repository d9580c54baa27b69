"""ceVAE, scored by the gradient of its divergence (Zimmerer et al. 2018)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from uad_bench.method import Method, MethodInfo
from uad_bench.models.batches import Batch
from uad_bench.training.gradient_score import GradientScore

from .cevae import CEVAE


class CEVAEGradient(GradientScore, CEVAE):
    """``|dKL/dx|``, smoothed: where the image has to change to be more like the prior."""

    info = MethodInfo(
        name="cevae-gradient",
        title="ceVAE gradient",
        citation="Zimmerer et al. 2018",
        first_trial=CEVAE.info.first_trial,
        presets=CEVAE.info.presets,
    )
    trained_as: ClassVar[type[Method] | None] = CEVAE
    params: CEVAE.Params

    def raw_score(self, batch: Batch) -> Tensor:
        """Return the smoothed gradient, ``[B, 1, H, W]``, 0 or more."""
        return self.smoothed_gradient(batch)
