"""Structural similarity, place by place (Wang et al. 2004)."""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW, SIGMA = 5, 1.5
"""Side of the Gaussian window and its standard deviation, in places; those of Meissen et al. 2022.

Wang et al. take 11.
"""

C1, C2 = 0.01**2, 0.03**2
"""Keep the quotient finite, for signals whose range is 1."""


def ssim(one: Tensor, other: Tensor, window: int = WINDOW, sigma: float = SIGMA) -> Tensor:
    """Return the similarity at each place of each channel, ``[B, C, h, w]``, at most 1.

    The edge is repeated outside.

    Args:
        one: signals ``[B, C, h, w]`` of a range of about 1, mostly above 0.
        other: signals of the same shape.
        window: side of the Gaussian window, odd.
        sigma: its standard deviation.
    """
    kind = torch.promote_types(one.dtype, torch.float32)
    with torch.autocast(one.device.type, enabled=False):  # a variance is a small difference
        one, other = one.to(kind), other.to(kind)
        down, along = (_smoothing(length, window, sigma, one) for length in one.shape[2:])
        signals = torch.stack((one, other, one * one, other * other, one * other))
        x, y, xx, yy, xy = down @ signals @ along.T
        alike = (2 * x * y + C1) * (2 * (xy - x * y) + C2)
        found: Tensor = alike / ((x * x + y * y + C1) * (xx - x * x + yy - y * y + C2))
    return found


def _smoothing(length: int, window: int, sigma: float, like: Tensor) -> Tensor:
    """The matrix ``[length, length]`` that smooths a line by a Gaussian cut off at the window.

    On single planes, two products with it are many times faster than a convolution.
    """
    reach = window // 2
    steps = torch.arange(-reach, reach + 1, device=like.device)
    weights = (-0.5 * (steps / sigma) ** 2).exp().to(like.dtype)
    places = torch.arange(length, device=like.device)
    matrix = like.new_zeros(length, length)
    # One after the other: a GPU adds what is scattered in any order, with other bits each time.
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        sources = (places[:, None] + step).clamp(0, length - 1)
        matrix = matrix + weight * (sources == places)
    return matrix
