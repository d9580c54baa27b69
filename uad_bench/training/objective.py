"""The loss of a batch, and the part of it by which a state is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from uad_bench.models.gaussians import Gaussian
from uad_bench.models.losses import absolute_error, total_variation
from uad_bench.models.perceptual import PerceptualDistance, load_lite0, load_vgg19
from uad_bench.models.variational import VariationalNetwork
from uad_bench.training.params import TrainingParams


@dataclass(frozen=True, slots=True)
class Objective:
    """What a network is trained for.

    ``paper``: ``L1 + tv_weight TV + perceptual_weight PL + beta KL`` (Bercea et al. 2022, eq. 3).
    ``native``: the network's own misfit, ``+ beta KL``.

    Attributes:
        params: hyper-parameters.
        network: the network, which knows its own misfit.
        perceptual: the perceptual distance, where the loss has one.
    """

    params: TrainingParams
    network: VariationalNetwork[Any]
    perceptual: PerceptualDistance | None

    @classmethod
    def make(
        cls, params: TrainingParams, network: VariationalNetwork[Any], device: str
    ) -> Objective:
        """Load the weights of the perceptual distance, where the loss has one.

        Raises:
            UadBenchError: if there are none.
        """
        if not params.perceived:
            return cls(params, network, None)
        if params.perceptual == "vgg19" and params.vgg19_weights is not None:
            vgg19 = load_vgg19(params.vgg19_weights, params.vgg19_sha256, device)
            return cls(params, network, vgg19)
        return cls(params, network, load_lite0(device))

    def misfit(self, target: Tensor, predicted: Gaussian, brain: Tensor) -> Tensor:
        """Return how far the prediction is from the target by the loss that is trained, ``[B]``.

        Args:
            target: ``[B, 1, H, W]``, 0 outside the brain.
            predicted: p(x | z), its mean 0 outside the brain.
            brain: bool ``[B, 1, H, W]``.
        """
        if self.params.loss == "native":
            return self.network.misfit(target, predicted, brain)
        return absolute_error(target, predicted.mean)

    def __call__(
        self, target: Tensor, predicted: Gaussian, brain: Tensor, divergence: Tensor, weight: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and what of it is reported.

        Args:
            target: as in :meth:`misfit`.
            predicted: as in :meth:`misfit`.
            brain: as in :meth:`misfit`.
            divergence: of the latent from its prior, ``[B]``.
            weight: of the divergence.
        """
        l1 = absolute_error(target, predicted.mean).mean()
        kl = divergence.mean()
        loss = self.misfit(target, predicted, brain).mean()
        if self.params.loss == "paper":
            loss = loss + self.params.tv_weight * total_variation(predicted.mean).mean()
        loss = loss + weight * kl
        if self.perceptual is not None:
            distance = self.perceptual(target, predicted.mean).mean()
            loss = loss + self.params.perceptual_weight * distance
        return loss, {"loss": loss, "l1": l1, "kl": kl}
