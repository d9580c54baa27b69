"""Convolutional building blocks: the U-Net halves that every deep method shares.

Ronneberger et al. 2015, as Bercea et al. 2022 (section 3) adjusted it: three blocks of twice
[3x3 convolution, batch normalisation, LeakyReLU] with ``width``, ``2 width`` and ``4 width``
filters, a bottleneck of ``4 width``, max pooling down and 2x2 transposed convolutions up.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

SHRINKAGE = 8
"""Factor between the side of a slice and the side of the bottleneck; slices must divide by it."""


class DoubleConvolution(nn.Sequential):
    """One block: twice [3x3 convolution, batch normalisation, LeakyReLU].

    In evaluation mode each normalisation is part of the convolution before it: one pass over the
    features instead of two. Gradients go through both.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [
                nn.Conv2d(channels, outputs, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(inplace=True),
            ]
        super().__init__(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``[B, inputs, H, W]`` to ``[B, outputs, H, W]``."""
        if self.training:
            made: Tensor = super().forward(image)  # type: ignore[no-untyped-call]
            return made
        layers: list[Any] = list(self)
        for convolution, norm, activation in (layers[:3], layers[3:]):
            image = activation(_normalised(convolution, norm, image))
        return image


def _normalised(convolution: nn.Conv2d, norm: nn.BatchNorm2d, image: Tensor) -> Tensor:
    """A convolution and the batch normalisation after it, by running statistics, as one."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    return nn.functional.conv2d(image, weight, bias, padding=convolution.padding)


class Contracting(nn.Module):
    """The way down: three blocks, each followed by max pooling, and the bottleneck.

    Args:
        inputs: channels of the input.
        width: filters of the first block.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        channels = (inputs, width, 2 * width, 4 * width)
        self.blocks = nn.ModuleList(
            DoubleConvolution(before, after) for before, after in pairwise(channels)
        )
        self.bottleneck = DoubleConvolution(4 * width, 4 * width)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map ``[B, inputs, H, W]`` to the features at full, half, quarter and eighth size."""
        features = []
        for block in self.blocks:
            features.append(block(image))
            image = nn.functional.max_pool2d(features[-1], 2)
        return [*features, self.bottleneck(image)]


class Trunk(Contracting):
    """The way down alone, from ``[B, inputs, H, W]`` to ``[B, 4 width, H/8, W/8]``."""

    def forward(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """Return the bottleneck's features."""
        return super().forward(image)[-1]


class Expanding(nn.Module):
    """The way up, from ``4 width`` channels at an eighth of the size to ``width`` at full size.

    Args:
        width: filters of the last block.
        skips: whether features of the same size from the way down are concatenated.
    """

    def __init__(self, width: int, *, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.ups, self.blocks = nn.ModuleList(), nn.ModuleList()
        for inputs, outputs in ((4 * width, 4 * width), (4 * width, 2 * width), (2 * width, width)):
            self.ups.append(nn.ConvTranspose2d(inputs, outputs, kernel_size=2, stride=2))
            self.blocks.append(DoubleConvolution(outputs * (1 + skips), outputs))

    def forward(self, bottom: Tensor, features: Sequence[Tensor] = ()) -> Tensor:
        """Map ``[B, 4 width, H/8, W/8]`` to ``[B, width, H, W]``.

        Args:
            bottom: the bottleneck's features.
            features: with skips, the way down's features from full to quarter size.
        """
        for level, (up, block) in enumerate(zip(self.ups, self.blocks, strict=True)):
            bottom = up(bottom)
            if self.skips:
                bottom = torch.cat((features[2 - level], bottom), dim=1)
            bottom = block(bottom)
        return bottom


class UNet(nn.Module):
    """A whole down-up network from ``[B, inputs, H, W]`` to ``[B, width, H, W]``."""

    def __init__(self, inputs: int, width: int, *, skips: bool) -> None:
        super().__init__()
        self.down = Contracting(inputs, width)
        self.up = Expanding(width, skips=skips)

    def forward(self, image: Tensor) -> Tensor:
        """Return features of the input's size."""
        *features, bottom = self.down(image)
        result: Tensor = self.up(bottom, features)
        return result


def image_head(features: int) -> nn.Sequential:
    """Return the last layer of a decoder: 1x1 convolution and sigmoid, to slices in [0, 1]."""
    return nn.Sequential(nn.Conv2d(features, 1, kernel_size=1), nn.Sigmoid())
