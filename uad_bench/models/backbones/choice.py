"""Which pretrained network, from which file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from uad_bench.errors import UadBenchError
from uad_bench.models.backbones import hd_bet, lite0, resnet, vit
from uad_bench.models.backbones.contract import Backbone
from uad_bench.models.backbones.efficientnet import find_lite0
from uad_bench.models.backbones.transformers_layout import in_authors_layout
from uad_bench.models.backbones.weights import read_weights

LayeredName = Literal["efficientnet-lite0", "resnet18", "resnet50", "wide-resnet50-2"]
"""Networks that have four layers, at up to a sixteenth of the size."""

SliceName = Literal[LayeredName, "dinov2-vits14", "dinov3-vits16"]
"""Networks that see each slice on its own."""

BackboneName = Literal[SliceName, "hd-bet"]
"""All networks."""

CHANNELS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "efficientnet-lite0": lite0.CHANNELS,
        **{name: design.channels for name, design in resnet.DESIGNS.items()},
        **{name: design.channels for name, design in vit.DESIGNS.items()},
        "hd-bet": hd_bet.CHANNELS,
    }
)
"""Channels of each layer of each network."""

_FROM_TRANSFORMERS = "dinov3-vits16"
"""The network whose weights may be in transformers' layout."""


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
    if name == "hd-bet":
        hd_bet.find_hd_bet()
    else:
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
    if name == "hd-bet":
        weights = hd_bet.find_hd_bet()
    state, checksum = _read(name, weights, device, sha256)
    source = f"{name}, SHA-256 {checksum}"
    if name == "hd-bet":
        return hd_bet.HDBET(state, source)
    if name in vit.DESIGNS:
        return vit.VisionTransformer(vit.DESIGNS[name], state, source)
    return resnet.ResNet(resnet.DESIGNS[name], state, source)


def _read(
    name: str, weights: Path | None, device: str, sha256: str | None
) -> tuple[dict[str, Tensor], str]:
    """The state dict in the user's file, of which every key is there, and its checksum."""
    if weights is None:
        raise UadBenchError(f"backbone {name} needs a weight file: set its parameter weights")
    state, checksum = read_weights(weights, device, sha256)
    if name == _FROM_TRANSFORMERS:
        state = in_authors_layout(state)
    expected, layout = _expected(name)
    for key, shape in expected.items():
        if key not in state or state[key].shape != shape:
            raise UadBenchError(
                f"weights {weights}: no {key} of shape {shape}; "
                f"give the state dict of {name} in {layout} layout"
            )
    return state, checksum


def _expected(name: str) -> tuple[Mapping[str, tuple[int, ...]], str]:
    """The keys and shapes of a network's state dict, and whose layout that is."""
    if name in resnet.DESIGNS:
        return resnet.DESIGNS[name].expected(), "torchvision's"
    if name in vit.DESIGNS:
        also = " or transformers'" if name == _FROM_TRANSFORMERS else ""
        return vit.DESIGNS[name].expected(), f"its authors'{also}"
    return hd_bet.expected(), "its authors'"
