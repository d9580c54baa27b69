"""The smallest deep method, and noisy discs to train it on."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from uad_bench.method import FitContext, MethodInfo, Slices
from uad_bench.models.latent.gaussians import Gaussian
from uad_bench.models.latent.variational import GaussianLatent, GaussianNetwork
from uad_bench.training import VariationalParams, VariationalReconstruction

WIDE = 32


def brains(count: int, seed: int = 0) -> Slices:
    """Noisy discs of two tissues."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:WIDE, :WIDE] - (WIDE - 1) / 2
    radius = np.hypot(row, column)[None, None] / rng.uniform(11, 15, (count, 1, 1, 1))
    image = np.where(radius < 0.6, 0.5, 0.65) + rng.normal(0, 0.02, radius.shape)
    brain = radius < 1
    values = np.where(brain, image.clip(0, 1), 0).astype(np.float32)
    return Slices(values, brain, np.arange(count) % 7, (2.0, 6.0, 6.0))


class Encoder(nn.Module):
    """Mean and log-variance by one convolution each."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image: Tensor) -> Gaussian:
        return Gaussian(*self.norm(self.layers(image)).chunk(2, dim=1))


class Network(GaussianNetwork):
    def divergence(self, latent: GaussianLatent, z: Tensor) -> Tensor:
        return latent.posterior.mean.square().sum(dim=(1, 2, 3)) + 0 * z


class Tiny(VariationalReconstruction):
    """The smallest deep method."""

    info = MethodInfo("tiny", "Tiny")

    def network(self) -> GaussianNetwork:
        decoder = nn.Sequential(nn.Conv2d(2, 1, 1), nn.Sigmoid())
        return Network(Encoder(), decoder, self.params.sampler)


def fit(seed: int = 0, train: Slices | None = None, **params) -> tuple[Tiny, object]:
    method = Tiny(
        VariationalParams(**{"steps": 20, "batch_size": 4, "learning_rate": 1e-2, **params})
    )
    data = brains(24) if train is None else train
    return method, method.fit(data, brains(10, seed=1), FitContext(seed))


def bits(method: Tiny) -> list[bytes]:
    return [array.tobytes() for array in method.state().values()]
