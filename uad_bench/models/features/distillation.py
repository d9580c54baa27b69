"""The student of reverse distillation (Deng and Li 2022, section 3)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class Student(nn.Module):
    """From three layers of a teacher to the same layers again, through a bottleneck.

    All three are brought to the size of the coarsest, and then to half of it (the paper's one-class
    bottleneck embedding). A decoder grows the layers from there, the coarsest first. The paper
    takes the teacher's blocks, mirrored; here each level has one convolution, and a linear head,
    because a teacher's layers may be of both signs.

    Args:
        channels: of the teacher's three layers, from fine to coarse; each is half as large as the
            one before.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.shrink_fine = nn.Sequential(_down(fine, middle), _down(middle, coarse))
        self.shrink_middle = _down(middle, coarse)
        self.bottleneck = nn.Sequential(_down(3 * coarse, 2 * coarse), _same(2 * coarse))
        sizes = (2 * coarse, coarse, middle, fine)
        self.ups = nn.ModuleList(_up(*pair) for pair in pairwise(sizes))
        self.heads = nn.ModuleList(nn.Conv2d(size, size, 1) for size in sizes[1:])

    def forward(self, layers: list[Tensor]) -> list[Tensor]:
        """Map layers ``[B, C, h, w]`` to layers of the same shapes."""
        fine, middle, coarse = layers
        gathered = [self.shrink_fine(fine), self.shrink_middle(middle), coarse]
        current = self.bottleneck(torch.cat(gathered, dim=1))
        made: list[Tensor] = []
        for up, head, like in zip(self.ups, self.heads, reversed(layers), strict=True):
            current = up(current)[..., : like.shape[2], : like.shape[3]]
            made.insert(0, head(current))
        return made


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return _normalised(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False))


def _same(size: int) -> nn.Sequential:
    return _normalised(nn.Conv2d(size, size, 3, padding=1, bias=False))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    grow = nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)
    return nn.Sequential(_normalised(grow), _same(outputs))


def _normalised(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())
