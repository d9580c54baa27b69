"""DAE: a denoising U-Net that takes coarse noise off healthy slices (Kascenas et al. 2022).

The loss and training are those that the other deep methods share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from uad_bench.models.blocks import UNet, image_head
from uad_bench.models.self_supervision import Corruption
from uad_bench.training import PAPER_TRAINING, NetworkReconstruction, ReconstructionParams


class DAE(NetworkReconstruction):
    """A U-Net whose skip connections reach from the slice to its reconstruction.

    It has no latent and no prior: that it does not copy a lesion is learnt from the noise alone.
    """

    class Params(ReconstructionParams):
        """Hyper-parameters of the shared training; the input's corruption is coarse noise."""

        corruption: Corruption = "noise"

    name: ClassVar[str] = "dae"
    title: ClassVar[str] = "DAE"
    citation: ClassVar[str] = "Kascenas et al. 2022"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {**PAPER_TRAINING, "corruption": "noise"}
    }
    params: Params

    def network(self) -> nn.Module:
        """Return the untrained network."""
        width = self.params.width
        return nn.Sequential(UNet(1, width, skips=True), image_head(width))
