"""What a pretrained network is asked for: layers of features, brought onto one grid of places."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from uad_bench.models.batches import Batch

STRIDE = 4
"""Pixels of a slice per place of the grid, along each side."""

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the three colours of ImageNet's photographs."""


class Backbone(ABC):
    """A pretrained network that is never trained: it holds tensors and no parameters.

    Attributes:
        source: which weights these are, with their SHA-256, for the record.
        whole_scans: whether a batch must hold all slices of one scan, in order.
    """

    source: str
    whole_scans: bool = False

    @abstractmethod
    def layers(self, batch: Batch) -> Iterator[Tensor]:
        """Yield features ``[B, C, h, w]`` of a batch's slices, from fine to coarse.

        What is not asked for is not computed.
        """


def coloured(image: Tensor) -> Tensor:
    """Return grey slices ``[B, 1, H, W]`` in [0, 1] as three colours, normalised as ImageNet's."""
    mean, sd = (image.new_tensor(part)[:, None, None] for part in (IMAGENET_MEAN, IMAGENET_SD))
    return (image - mean) / sd


def on_grid(layers: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return layers as features of one grid, ``[B, C, H / 4, W / 4]``.

    Finer layers are averaged down to the grid, coarser ones brought up to it (bilinear).

    Args:
        layers: features ``[B, C, h, w]`` each.
        size: ``H, W`` of the slices.
    """
    grid = (size[0] // STRIDE, size[1] // STRIDE)
    placed = []
    for layer in layers:
        if layer.shape[2] > grid[0]:
            layer = nn.functional.adaptive_avg_pool2d(layer, grid)  # noqa: PLW2901
        elif layer.shape[2] < grid[0]:
            layer = nn.functional.interpolate(  # noqa: PLW2901
                layer, grid, mode="bilinear", align_corners=False
            )
        placed.append(layer)
    return torch.cat(placed, dim=1)


def share_inside(brain: Tensor) -> Tensor:
    """Return which share of each place is brain, ``[B, 1, H, W] -> [B, 1, H/4, W/4]``."""
    return nn.functional.avg_pool2d(brain.float(), STRIDE)
