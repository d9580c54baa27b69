"""DAE: a denoising U-Net that takes coarse noise off healthy slices (Kascenas et al. 2022).

The loss and training are those that the other deep methods share.
"""

from __future__ import annotations

from torch import nn

from uad_bench.method import MethodInfo
from uad_bench.models.blocks import UNet, image_head
from uad_bench.models.corruption.self_supervision import Corruption
from uad_bench.training import PAPER_TRAINING, NetworkReconstruction, ReconstructionParams


class DAE(NetworkReconstruction):
    """A U-Net whose skip connections reach from the slice to its reconstruction.

    It has no latent and no prior: that it does not copy a lesion is learnt from the noise alone.
    """

    class Params(ReconstructionParams):
        """Hyper-parameters of the shared training; the input's corruption is coarse noise."""

        corruption: Corruption = "noise"

    info = MethodInfo(
        name="dae",
        title="DAE",
        citation="Kascenas et al. 2022",
        presets={"paper": {**PAPER_TRAINING, "corruption": "noise"}},
    )
    params: Params

    def network(self) -> nn.Module:
        """Return the untrained network."""
        width = self.params.width
        return nn.Sequential(UNet(1, width, skips=True), image_head(width))
