"""Generators, critics and the loss between them (Arjovsky et al. 2017; Gulrajani et al. 2017)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from uad_bench.models.blocks import SHRINKAGE, Expanding, Trunk, image_head

PENALTY_WEIGHT = 10.0
"""Weight of the gradient penalty (Gulrajani et al. 2017, section 4)."""

BETAS = (0.5, 0.9)
"""Adam's decay rates, as in the published code of both methods that use this."""


class Generator(nn.Module):
    """From draws ``[B, latent]`` to slices ``[B, 1, H, W]`` in [0, 1].

    Args:
        latent: length of a draw.
        shape: height and width of a slice.
        width: filters of the last block.
    """

    def __init__(self, latent: int, shape: tuple[int, int], width: int) -> None:
        super().__init__()
        self.start = (4 * width, shape[0] // SHRINKAGE, shape[1] // SHRINKAGE)
        self.dense = nn.Linear(latent, self.start[0] * self.start[1] * self.start[2])
        self.blocks = nn.Sequential(Expanding(width, skips=False), image_head(width))

    def forward(self, draw: Tensor) -> Tensor:
        """Return the slices."""
        made: Tensor = self.blocks(self.dense(draw).unflatten(1, self.start))
        return made


class Encoder(nn.Module):
    """From slices ``[B, 1, H, W]`` to draws ``[B, latent]``, which nothing bounds."""

    def __init__(self, latent: int, shape: tuple[int, int], width: int) -> None:
        super().__init__()
        self.trunk = Trunk(1, width)
        places = (shape[0] // SHRINKAGE) * (shape[1] // SHRINKAGE)
        self.dense = nn.Linear(4 * width * places, latent)

    def forward(self, image: Tensor) -> Tensor:
        """Return the draws."""
        found: Tensor = self.dense(self.trunk(image).flatten(1))
        return found


class Critic(nn.Module):
    """From slices to a number each: three strided convolutions, normalised slice by slice.

    Batch normalisation would tie the slices of a batch together, which the gradient penalty
    forbids (Gulrajani et al. 2017, section 4).
    """

    def __init__(self, shape: tuple[int, int], width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((1, width, 2 * width, 4 * width)):
            layers += [
                nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1),
                nn.GroupNorm(1, outputs),
                nn.LeakyReLU(0.2),
            ]
        self.convolutions = nn.Sequential(*layers)
        places = (shape[0] // SHRINKAGE) * (shape[1] // SHRINKAGE)
        self.dense = nn.Linear(4 * width * places, 1)

    def features(self, image: Tensor) -> Tensor:
        """Return what the last layer sees, ``[B, C, H/8, W/8]``."""
        found: Tensor = self.convolutions(image)
        return found

    def forward(self, image: Tensor) -> Tensor:
        """Return how real each slice looks, ``[B, 1]``."""
        judged: Tensor = self.dense(self.features(image).flatten(1))
        return judged


def critic_loss(
    critic: nn.Module, real: Tensor, fake: Tensor, generator: torch.Generator
) -> Tensor:
    """Return ``mean critic(fake) - mean critic(real) + 10 gradient penalty``, without axes.

    Args:
        critic: gives one number per sample.
        real: ``[B, ...]``.
        fake: the same shape; no gradient flows into what made it.
        generator: source of the places between the two.
    """
    fake = fake.detach()
    gap: Tensor = critic(fake).mean() - critic(real).mean()
    return gap + PENALTY_WEIGHT * gradient_penalty(critic, real, fake, generator).mean()


def gradient_penalty(
    critic: nn.Module, real: Tensor, fake: Tensor, generator: torch.Generator
) -> Tensor:
    """Return ``(|gradient| - 1)^2`` of each sample, at a place of its own between real and fake.

    The norm is over all axes of a sample. (A published port takes it over the rows alone.)

    Args:
        critic: gives one number per sample.
        real: ``[B, ...]``.
        fake: the same shape.
        generator: source of the places.
    """
    shape = (len(real), *(1 for _ in real.shape[1:]))
    place = torch.rand(shape, generator=generator, device=real.device)
    between = (place * real + (1 - place) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1).square()
    return penalty
