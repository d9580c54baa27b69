"""Which pretrained network, from which file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from uad_bench.errors import UadBenchError
from uad_bench.models.backbones import lite0, resnet, vit
from uad_bench.models.backbones.contract import Backbone
from uad_bench.models.perceptual import find_lite0
from uad_bench.models.weights import read_weights

BackboneName = Literal[
    "efficientnet-lite0", "resnet18", "resnet50", "wide-resnet50-2", "dinov2-vits14"
]

LayeredName = Literal["efficientnet-lite0", "resnet18", "resnet50", "wide-resnet50-2"]
"""Those that have four layers, at up to a sixteenth of the size."""

CHANNELS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "efficientnet-lite0": lite0.CHANNELS,
        **{name: design.channels for name, design in resnet.DESIGNS.items()},
        **{name: design.channels for name, design in vit.DESIGNS.items()},
    }
)
"""Channels of each layer of each network."""


def find_backbone(name: str, weights: Path | None, sha256: str | None) -> str | None:
    """Return the SHA-256 of a network's weight file, or ``None`` where it needs no file.

    Args:
        name: a key of :data:`CHANNELS`.
        weights: the user's file.
        sha256: checksum that the file must have.

    Raises:
        UadBenchError: if the weights are missing, are others, or are no weights.
    """
    if name in resnet.DESIGNS or name in vit.DESIGNS:
        return _read(name, weights, "cpu", sha256)[1]
    if weights is not None or sha256 is not None:
        raise UadBenchError(
            f"backbone {name} has weights of its own; leave out weights and weights_sha256"
        )
    find_lite0()
    return None


@lru_cache(maxsize=2)
def load_backbone(name: str, weights: Path | None, sha256: str | None, device: str) -> Backbone:
    """Return a network with its weights, on a device.

    Args:
        name: a key of :data:`CHANNELS`.
        weights: the user's file, for those that need one.
        sha256: checksum that the file must have.
        device: a torch device.

    Raises:
        UadBenchError: if the weights are missing, are others, or are no weights.
    """
    if name == "efficientnet-lite0":
        return lite0.load(device)
    state, checksum = _read(name, weights, device, sha256)
    source = f"{name}, SHA-256 {checksum}"
    if name in vit.DESIGNS:
        return vit.VisionTransformer(vit.DESIGNS[name], state, source)
    return resnet.ResNet(resnet.DESIGNS[name], state, source)


def _read(
    name: str, weights: Path | None, device: str, sha256: str | None
) -> tuple[dict[str, Tensor], str]:
    """The state dict in the user's file, of which every key is there, and its checksum."""
    if weights is None:
        raise UadBenchError(f"backbone {name} needs a weight file: --param METHOD.weights=FILE")
    state, checksum = read_weights(weights, device, sha256)
    design = vit.DESIGNS[name] if name in vit.DESIGNS else resnet.DESIGNS[name]
    layout = "its authors'" if name in vit.DESIGNS else "torchvision's"
    for key, shape in design.expected().items():
        if key not in state or state[key].shape != shape:
            raise UadBenchError(
                f"weights {weights}: no {key} of shape {shape}; "
                f"give the state dict of {name} in {layout} layout"
            )
    return state, checksum
