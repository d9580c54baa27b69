"""DAE: a denoising U-Net that takes coarse noise off healthy slices (Kascenas et al. 2022).

The network, loss and training are those that the other deep methods share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from uad_bench.method import TissuePrior
from uad_bench.models.blocks import UNet, image_head
from uad_bench.models.gaussians import Gaussian
from uad_bench.models.losses import squared_error
from uad_bench.models.self_supervision import Corruption
from uad_bench.models.variational import VariationalNetwork
from uad_bench.training import PAPER_TRAINING, DeepReconstruction, TrainingParams


class DAE(DeepReconstruction):
    """A U-Net whose skip connections reach from the slice to its reconstruction.

    It has no latent and no prior: that it does not copy a lesion is learnt from the noise alone.
    """

    class Params(TrainingParams):
        """Hyper-parameters of the shared training; the input's corruption is coarse noise."""

        corruption: Corruption = "noise"

    name: ClassVar[str] = "dae"
    title: ClassVar[str] = "DAE"
    citation: ClassVar[str] = "Kascenas et al. 2022"
    objective: ClassVar[tuple[str, ...]] = ("l1",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {**PAPER_TRAINING, "corruption": "noise"}
    }
    params: Params

    def network(self, prior: TissuePrior | None) -> VariationalNetwork[Tensor]:
        """Return the untrained network."""
        return _Network(self.params.width)


class _Network(VariationalNetwork[Tensor]):
    """Its "latent" is the U-Net's features at full size: nothing is drawn, nothing diverges."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = UNet(1, width, skips=True)
        self.head = image_head(width)

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        features: Tensor = self.features(image)
        return features

    def decode(self, latent: Tensor) -> Tensor:
        result: Tensor = self.head(latent)
        return result

    def misfit(self, target: Tensor, predicted: Gaussian, brain: Tensor) -> Tensor:
        return squared_error(target, predicted.mean, brain)

    def divergence(self, latent: Tensor, z: Tensor) -> Tensor:
        return latent.new_zeros(len(latent))
