"""ceVAE: a VAE that also fills in what was cut out of its input (Zimmerer et al. 2018).

Scored by its reconstruction here; ``cevae-gradient`` and ``cevae-combined`` score by the gradient
of its divergence.
"""

from __future__ import annotations

import torch
from pydantic import Field

from uad_bench.method import FitContext, MethodInfo
from uad_bench.models.batches import Batch
from uad_bench.models.corruption.self_supervision import Corruption, cut_squares
from uad_bench.models.losses.pixelwise import absolute_error
from uad_bench.training import PAPER, Loss, Trainable, Turn, VariationalTraining

from .vae import VAE


class CEVAE(VAE):
    """The VAE's network; a second branch sees slices with squares cut out, and has no divergence.

    Its target is the whole slice. (A published port asks it for the cut one, and learns to copy.)
    """

    class Params(VAE.Params):
        """Hyper-parameters of the two branches."""

        corruption: Corruption = "none"
        ce_factor: float = Field(default=0.5, ge=0.0, lt=1.0)
        """Weight of the branch that fills in; the other one has the rest."""

    info = MethodInfo(
        name="cevae",
        title="ceVAE",
        citation="Zimmerer et al. 2018",
        first_trial={"beta": 1e-3, "snr": 16.0},
        presets={"paper": {**PAPER, "latent": "fullres", "ce_factor": 0.5}},
    )
    params: Params

    def trainable(self, context: FitContext) -> Trainable:
        """Return the training of both branches."""
        return _Training(self.network_, self.params, context)


class _Training(VariationalTraining):
    params: CEVAE.Params

    def loss(self, batch: Batch, turn: Turn) -> Loss:
        whole = super().loss(batch, turn)
        cut = cut_squares(batch.image, batch.brain, turn.generator)
        filled = self.network.decode(self.network.encode(cut)) * batch.brain
        missing = absolute_error(batch.image, filled).mean()
        share = self.params.ce_factor
        value: torch.Tensor = (1 - share) * whole.value + share * missing
        return Loss(value, {**whole.parts, "ce": missing})
