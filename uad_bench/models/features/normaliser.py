"""Features in units of what healthy brains have."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normaliser(nn.Module):
    """Brings every channel to mean 0 and standard deviation 1 over healthy brains.

    Args:
        channels: how many there are.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(channels), requires_grad=False)
        self.sd = nn.Parameter(torch.ones(channels), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, C, h, w]`` to the same shape."""
        return (features - self.mean[:, None, None]) / self.sd[:, None, None]

    def each(self, layers: list[Tensor]) -> list[Tensor]:
        """Map layers, whose channels follow each other, each in its own size."""
        sizes = [layer.shape[1] for layer in layers]
        parts = zip(layers, *(torch.split(of, sizes) for of in (self.mean, self.sd)), strict=True)
        return [(layer - mean[:, None, None]) / sd[:, None, None] for layer, mean, sd in parts]
