"""Harmonisation: where a slice is healthy, its reconstruction goes on from the slice itself.

Bercea et al. 2024 (THOR). How different slice and reconstruction are says where.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from uad_bench.models.backbones.lite0 import unlikeness

_BLUR_PX = 2.0
_REACH_MM = 20.0
_LEAST = 1e-8


def difference(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return ``|difference|`` times the smoothed unlikeness of features, ``[B, 1, H, W]``.

    Args:
        image: ``[B, 1, H, W]`` in [0, 1].
        reconstruction: of the same shape.
    """
    unlike = smoothed(unlikeness(image, reconstruction), _BLUR_PX).clamp(max=1)
    return (image - reconstruction).abs() * unlike


def share_replaced(apart: Tensor, spacing: tuple[float, float]) -> Tensor:
    """Return how much of the reconstruction is taken at each pixel, in [0, 1], ``[B, 1, H, W]``.

    The mean of what differs, relative to the most of its slice, and of the same with small gaps
    closed, spread by about 10 mm.

    Args:
        apart: how different slice and reconstruction are, 0 or more.
        spacing: pixel height and width in mm.
    """
    relative = apart / apart.amax(dim=(2, 3), keepdim=True).clamp(min=_LEAST)
    rows, columns = (2 * round(_REACH_MM / (2 * size)) + 1 for size in spacing)
    closed = -_highest(-_highest(relative, rows, columns), rows, columns)
    return (_highest(closed, rows, columns) + relative) / 2


def harmonic_mean(maps: Sequence[Tensor]) -> Tensor:
    """Return the harmonic mean of maps: high where all of them are. It is 0 where one of them is.

    Args:
        maps: of one shape, 0 or more.
    """
    inverse = torch.stack([1 / one.clamp(min=_LEAST) for one in maps]).mean(dim=0)
    return (1 / inverse - _LEAST).clamp(min=0)


def smoothed(image: Tensor, sigma: float) -> Tensor:
    """Return slices ``[B, 1, H, W]`` after a Gaussian of this many pixels."""
    reach = round(3 * sigma)
    place = torch.arange(-reach, reach + 1, device=image.device)
    weight = torch.exp(-0.5 * (place / sigma) ** 2)
    weight = weight / weight.sum()
    padded = nn.functional.pad(image, (reach, reach, reach, reach), mode="replicate")
    along = nn.functional.conv2d(padded, weight[None, None, None, :])
    return nn.functional.conv2d(along, weight[None, None, :, None])


def _highest(image: Tensor, rows: int, columns: int) -> Tensor:
    """The highest value in a window around each pixel; its sides are odd."""
    return nn.functional.max_pool2d(image, (rows, columns), 1, (rows // 2, columns // 2))
