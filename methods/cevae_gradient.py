"""ceVAE, scored by the gradient of its divergence (Zimmerer et al. 2018)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from uad_bench.method import Method, MethodInfo, tunable
from uad_bench.models.batches import Batch
from uad_bench.training.gradient_score import GradientScore

from .cevae import CEVAE

PRESETS: dict[str, dict[str, Any]] = {
    name: {**values, "reparameterisation": "plain"} for name, values in CEVAE.info.presets.items()
}


class CEVAEGradient(GradientScore, CEVAE):
    """``|dKL/dx|``, smoothed: where the image has to change to be more like the prior."""

    class Params(CEVAE.Params):
        """Hyper-parameters: those of ``cevae``, with other defaults.

        The gradient of a divergence that training hardly counts says little.
        """

        beta: float = tunable(1e-3, 1e-5, 1e-2, log=True, ge=0.0)
        reparameterisation: Literal["snr", "plain"] = "plain"
        """The authors' sampling, which is ``plain``."""

    info = MethodInfo(
        name="cevae-gradient",
        title="ceVAE gradient",
        citation="Zimmerer et al. 2018",
        first_trial=CEVAE.info.first_trial,
        presets=PRESETS,
    )
    trained_as: ClassVar[type[Method] | None] = CEVAE
    params: Params

    def raw_score(self, batch: Batch) -> Tensor:
        """Return the smoothed gradient, ``[B, 1, H, W]``, 0 or more."""
        return self.smoothed_gradient(batch)
