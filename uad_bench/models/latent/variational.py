"""What the training loop asks of a network: a reconstruction and its divergence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from uad_bench.models.latent.gaussians import Gaussian, Sampler, negative_log_likelihood

Latent = TypeVar("Latent")


class VariationalNetwork(nn.Module, ABC, Generic[Latent]):
    """An encoder to a latent distribution, and a decoder from a draw of it to a slice."""

    @abstractmethod
    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Latent:
        """Return the latent of slices ``[B, 1, H, W]`` in [0, 1], with its draw.

        Args:
            image: the slices.
            generator: source of the noise; without one, the draw is the mean.
        """

    @abstractmethod
    def decode(self, latent: Latent) -> Tensor:
        """Return the reconstruction ``[B, 1, H, W]`` in [0, 1] from the latent's draw."""

    @abstractmethod
    def divergence(self, latent: Latent, z: Tensor) -> Tensor:
        """Return the divergence from the prior per sample, ``[B]``.

        Args:
            latent: what :meth:`encode` returned.
            z: the slices' indices in the template, ``[B]``.
        """

    def predict(self, latent: Latent) -> Gaussian:
        """Return p(x | z) at the latent's draw: the reconstruction, with unit variance."""
        mean = self.decode(latent)
        return Gaussian(mean, torch.zeros_like(mean))

    def misfit(self, target: Tensor, predicted: Gaussian, brain: Tensor) -> Tensor:
        """Return the reconstruction term of the network's own loss per sample, ``[B]``.

        The negative log-likelihood of the target under p(x | z), summed over the brain. With unit
        variance that is half the squared error (Kingma and Welling 2014, appendix C.2).

        Args:
            target: ``[B, 1, H, W]``.
            predicted: p(x | z).
            brain: bool ``[B, 1, H, W]``.
        """
        return negative_log_likelihood(target, predicted, brain)

    def forward(
        self, image: Tensor, z: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Gaussian, Tensor]:
        """Return p(x | z), ``[B, 1, H, W]``, and the divergence ``[B]``."""
        latent = self.encode(image, generator)
        return self.predict(latent), self.divergence(latent, z)

    def mean_of_draws(self, image: Tensor, draws: int, generator: torch.Generator) -> Tensor:
        """Return the mean of the reconstructions from some draws of the latent.

        Args:
            image: ``[B, 1, H, W]`` in [0, 1].
            draws: how many.
            generator: source of the noise.
        """
        drawn = [self.decode(self.encode(image, generator)) for _ in range(draws)]
        return torch.stack(drawn).mean(dim=0)


@dataclass(frozen=True, slots=True)
class GaussianLatent:
    """q(z | x) and a draw of it."""

    posterior: Gaussian
    draw: Tensor


class GaussianNetwork(VariationalNetwork[GaussianLatent]):
    """A network with one Gaussian latent; a method adds its prior.

    Args:
        encoder: from slices ``[B, 1, H, W]`` to a :class:`Gaussian`.
        decoder: from a draw of it to slices.
        sampler: how it is sampled in training.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, sampler: Sampler) -> None:
        super().__init__()
        self.encoder, self.decoder, self.sampler = encoder, decoder, sampler

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> GaussianLatent:
        """Return q(z | x) and its draw."""
        posterior: Gaussian = self.encoder(image)
        return GaussianLatent(posterior, self.sampler(posterior, generator))

    def decode(self, latent: GaussianLatent) -> Tensor:
        """Return the reconstruction from the draw."""
        result: Tensor = self.decoder(latent.draw)
        return result
