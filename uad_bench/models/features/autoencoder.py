"""An autoencoder of feature maps (Meissen et al. 2022, section 2)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class FeatureAutoencoder(nn.Module):
    """Four strided 5x5 convolutions down, a fifth, four 6x6 transposed ones up, and a 1x1.

    Args:
        channels: of the features.
        width: filters of the first; the others have 1.5, 2 and 3 times as many.
        dropout: share of the filters that are left out after each, where a generator is given.
    """

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        sizes = [channels, width, 3 * width // 2, 2 * width, 3 * width]
        self.downs = nn.ModuleList(
            _block(nn.Conv2d(*pair, 5, stride=2, padding=2, bias=False)) for pair in pairwise(sizes)
        )
        self.middle = nn.Conv2d(sizes[-1], sizes[-1], 5, padding=2, bias=False)
        self.ups = nn.ModuleList(
            _block(nn.ConvTranspose2d(*pair, 6, stride=2, padding=2, bias=False))
            for pair in pairwise([*sizes[:0:-1], width])
        )
        self.last = nn.Conv2d(width, channels, 1)
        self.dropout = dropout

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Map ``[B, C, h, w]`` to the same shape.

        Args:
            features: of any size.
            generator: source of what is left out; ``None`` leaves out nothing.
        """
        shapes = []
        for down in self.downs:
            shapes.append(features.shape[2:])
            features = self._dropped(down(features), generator)
        features = self.middle(features)
        for up, (height, width) in zip(self.ups, reversed(shapes), strict=True):
            features = self._dropped(up(features)[..., :height, :width], generator)
        made: Tensor = self.last(features)
        return made

    def _dropped(self, features: Tensor, generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return features
        shape = (*features.shape[:2], 1, 1)
        drawn = torch.rand(shape, generator=generator, device=features.device)
        return features * (drawn >= self.dropout) / (1 - self.dropout)


def _block(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.LeakyReLU())
