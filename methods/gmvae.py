"""GMVAE: a VAE with a mixture of Gaussians as prior (You et al. 2019, MIDL).

The latent follows You et al.; trunk, loss and training are those of Bercea et al. 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn

from uad_bench.method import MethodInfo
from uad_bench.models.blocks import Expanding, Trunk, image_head
from uad_bench.models.latent.gaussians import (
    Gaussian,
    GaussianHead,
    Sampler,
    divergence_from_standard,
)
from uad_bench.models.latent.mixture import (
    MixturePrior,
    component_divergence,
    conditional_divergence,
    log_responsibilities,
)
from uad_bench.models.latent.variational import VariationalNetwork
from uad_bench.training import PAPER, VariationalParams, VariationalReconstruction

LOG_PRECISION = (0.0, 16.0 * math.log(10.0))
"""Where the decoder's log-precision is clipped: standard deviations of 1 and 1e-8."""


@dataclass(frozen=True, slots=True)
class _Latent:
    w: Gaussian
    w_draw: Tensor
    z: Gaussian
    z_draw: Tensor


class GMVAE(VariationalReconstruction):
    """Spatial latents w from N(0, I) and z from a mixture whose components w decides."""

    class Params(VariationalParams):
        """Hyper-parameters of the mixture."""

        steps: int = Field(default=600, ge=1)
        dim_c: int = Field(default=6, ge=2)
        """Components of the mixture."""
        dim_z: int = Field(default=8, ge=1)
        """Channels of z; 1 in You et al."""
        dim_w: int = Field(default=1, ge=1)
        """Channels of w."""
        c_lambda: float = Field(default=0.5, ge=0.0)
        """Nats per pixel below which the divergence of p(c | w, z) is left alone."""
        legacy_pc: bool = False
        """Whether p(c | w, z) has the wrong normaliser of the published code."""

    info = MethodInfo(
        name="gmvae",
        title="GMVAE",
        citation="You et al. 2019",
        first_trial={"beta": 1e-3, "snr": 16.0},
        presets={"paper": {**PAPER, "dim_c": 6, "c_lambda": 0.5}},
    )
    params: Params

    def network(self) -> VariationalNetwork[_Latent]:
        """Return the untrained network."""
        return _Network(self.params)


class _Network(VariationalNetwork[_Latent]):
    def __init__(self, params: GMVAE.Params) -> None:
        super().__init__()
        self.params = params
        features = 4 * params.width
        self.trunk = Trunk(1, params.width)
        self.w = GaussianHead(features, params.dim_w)
        self.z = GaussianHead(features, params.dim_z)
        self.components = MixturePrior(params.dim_w, params.dim_z, params.dim_c)
        self.decoder = nn.Sequential(
            nn.Conv2d(params.dim_z, features, kernel_size=1),
            Expanding(params.width, skips=False),
            image_head(params.width),
        )
        self.log_precision = nn.Conv2d(params.width, 1, 1) if params.loss == "native" else None

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> _Latent:
        features = self.trunk(image)
        w, z = self.w(features), self.z(features)
        return _Latent(w, Sampler()(w, generator), z, self.params.sampler(z, generator))

    def decode(self, latent: _Latent) -> Tensor:
        result: Tensor = self.decoder(latent.z_draw)
        return result

    def predict(self, latent: _Latent) -> Gaussian:
        if self.log_precision is None:
            return super().predict(latent)
        features = self.decoder[:-1](latent.z_draw)
        log_precision = self.log_precision(features).clamp(*LOG_PRECISION)
        return Gaussian(self.decoder[-1](features), -log_precision)

    def divergence(self, latent: _Latent, z: Tensor) -> Tensor:
        components = self.components(latent.w_draw)
        log_weights = log_responsibilities(latent.z_draw, components, legacy=self.params.legacy_pc)
        return (
            conditional_divergence(latent.z, components, log_weights)
            + divergence_from_standard(latent.w).sum(dim=(1, 2, 3))
            + component_divergence(log_weights, self.params.c_lambda)
        )
