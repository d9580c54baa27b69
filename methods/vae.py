"""VAE: a variational autoencoder with a spatial latent (Kingma and Welling 2014).

The baseline of Bercea et al. 2022, with the same building blocks, loss and training as SPA.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from uad_bench.method import MethodInfo
from uad_bench.models.blocks import Expanding, Trunk, UNet, image_head
from uad_bench.models.latent.gaussians import GaussianHead, divergence_from_standard
from uad_bench.models.latent.variational import GaussianLatent, GaussianNetwork
from uad_bench.training import PAPER, VariationalParams, VariationalReconstruction

FULL_RESOLUTION_MAPS = 4


class VAE(VariationalReconstruction):
    """Prior N(0, I); the divergence is summed over the latent."""

    class Params(VariationalParams):
        """Hyper-parameters of the latent."""

        latent: Literal["spatial16", "fullres"] = "spatial16"
        """``spatial16`` has an eighth of the slice's side and ``4 width`` channels; ``fullres`` has
        four maps of the slice's size between two U-Nets, as SPA has."""

    info = MethodInfo(
        name="vae",
        title="VAE",
        citation="Kingma and Welling 2014",
        first_trial={"beta": 1e-3, "snr": 16.0},
        presets={"paper": {**PAPER, "latent": "fullres"}},
    )
    params: Params

    def network(self) -> GaussianNetwork:
        """Return the untrained network."""
        width = self.params.width
        if self.params.latent == "fullres":
            maps = FULL_RESOLUTION_MAPS
            encoder = nn.Sequential(UNet(1, width, skips=True), GaussianHead(width, maps))
            decoder = nn.Sequential(UNet(maps, width, skips=True), image_head(width))
        else:
            encoder = nn.Sequential(Trunk(1, width), GaussianHead(4 * width, 4 * width))
            decoder = nn.Sequential(Expanding(width, skips=False), image_head(width))
        return _Network(encoder, decoder, self.params.sampler)


class _Network(GaussianNetwork):
    def divergence(self, latent: GaussianLatent, z: Tensor) -> Tensor:
        return divergence_from_standard(latent.posterior).sum(dim=(1, 2, 3))
