"""AE: a convolutional autoencoder with a spatial bottleneck (Baur et al. 2021).

The same trunk as the VAE's, without a distribution in the latent: what a bottleneck alone does.
"""

from __future__ import annotations

from torch import nn

from uad_bench.method import MethodInfo
from uad_bench.models.blocks import Expanding, Trunk, image_head
from uad_bench.training import PAPER_TRAINING, NetworkReconstruction, ReconstructionParams


class AE(NetworkReconstruction):
    """A bottleneck of an eighth of the slice's side and ``4 width`` channels."""

    info = MethodInfo(
        name="ae",
        title="AE",
        citation="Baur et al. 2021",
        presets={"paper": PAPER_TRAINING},
    )
    params: ReconstructionParams

    def network(self) -> nn.Module:
        """Return the untrained network."""
        width = self.params.width
        return nn.Sequential(Trunk(1, width), Expanding(width, skips=False), image_head(width))
