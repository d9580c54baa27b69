"""ResNets with the user's weights, in torchvision's layout (He et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uad_bench.models.backbones.contract import Backbone, coloured
from uad_bench.models.batches import Batch

_NORM_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Design:
    """What tells one ResNet from another.

    Attributes:
        blocks: of each of the first three stages.
        expansion: channels of a stage's output per channel of its width; 1 where a block is two
            3x3 convolutions, 4 where it is a bottleneck of three.
        width: of the inner convolutions, per channel of the stage.
    """

    blocks: tuple[int, int, int]
    expansion: int
    width: int = 1

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the stem and of each stage."""
        return 64, *(size * self.expansion for size in (64, 128, 256))

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the name and shape of every convolution's weight, in the network's order."""
        yield "conv1", (64, 3, 7, 7)
        inputs = 64
        for stage, count in enumerate(self.blocks):
            size = 64 << stage
            inner, outputs = size * self.width, size * self.expansion
            for index in range(count):
                block = f"layer{stage + 1}.{index}."
                if self.expansion == 1:
                    yield f"{block}conv1", (size, inputs, 3, 3)
                    yield f"{block}conv2", (size, size, 3, 3)
                else:
                    yield f"{block}conv1", (inner, inputs, 1, 1)
                    yield f"{block}conv2", (inner, inner, 3, 3)
                    yield f"{block}conv3", (outputs, inner, 1, 1)
                if inputs != outputs:
                    yield f"{block}downsample.0", (outputs, inputs, 1, 1)
                inputs = outputs

    def expected(self) -> dict[str, tuple[int, ...]]:
        """Return the keys and shapes that a state dict must have; others are ignored."""
        found: dict[str, tuple[int, ...]] = {}
        for name, shape in self.shapes():
            found[f"{name}.weight"] = shape
            for part in ("weight", "bias", "running_mean", "running_var"):
                found[f"{_norm_of(name)}.{part}"] = shape[:1]
        return found


DESIGNS = {
    "resnet18": Design((2, 2, 2), expansion=1),
    "resnet50": Design((3, 4, 6), expansion=4),
    "wide-resnet50-2": Design((3, 4, 6), expansion=4, width=2),
}


class ResNet(Backbone):
    """The stem and the first three stages, with every normalisation inside its convolution.

    Args:
        design: which one.
        state: its state dict, with all that the design expects.
        source: which weights these are.
    """

    def __init__(self, design: Design, state: Mapping[str, Tensor], source: str) -> None:
        self.source, self._design = source, design
        self._folded = {name: _folded(state, name) for name, _ in design.shapes()}

    def layers(self, batch: Batch) -> Iterator[Tensor]:
        """Yield the stem's output and each stage's: at a quarter (twice), an eighth, a sixteenth.

        All are after their last rectifier, 0 or more.
        """
        current = self._apply("conv1", coloured(batch.image), stride=2).relu_()
        current = nn.functional.max_pool2d(current, 3, stride=2, padding=1)
        yield current
        for stage, count in enumerate(self._design.blocks):
            for index in range(count):
                stride = 2 if stage and not index else 1
                current = self._block(f"layer{stage + 1}.{index}.", current, stride)
            yield current

    def _block(self, name: str, image: Tensor, stride: int) -> Tensor:
        """One residual block; a bottleneck strides in its 3x3 convolution."""
        if self._design.expansion == 1:
            made = self._apply(f"{name}conv1", image, stride).relu_()
            made = self._apply(f"{name}conv2", made)
        else:
            made = self._apply(f"{name}conv1", image).relu_()
            made = self._apply(f"{name}conv2", made, stride).relu_()
            made = self._apply(f"{name}conv3", made)
        if f"{name}downsample.0" in self._folded:
            image = self._apply(f"{name}downsample.0", image, stride)
        return (made + image).relu_()

    def _apply(self, name: str, image: Tensor, stride: int = 1) -> Tensor:
        weight, bias = self._folded[name]
        padding = weight.shape[-1] // 2
        return nn.functional.conv2d(image, weight, bias, stride, padding)


def _norm_of(convolution: str) -> str:
    """The name of the batch normalisation after a convolution."""
    if convolution.endswith("downsample.0"):
        return convolution[:-1] + "1"
    return convolution.replace("conv", "bn")


def _folded(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """The weight and bias of a convolution that does what its batch normalisation does too."""
    norm = _norm_of(name)
    scale = state[f"{norm}.weight"] * (state[f"{norm}.running_var"] + _NORM_EPSILON).rsqrt()
    weight = state[f"{name}.weight"] * scale[:, None, None, None]
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return weight.contiguous(memory_format=torch.channels_last), bias
