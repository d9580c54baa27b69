"""Synthetic anomalies of every degree: a shape whose texture and intensities are changed.

After Naval Marimont et al. 2024 (DISYRE). Sizes and edges are theirs, in mm.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIZE_MM = (10.0, 44.0)
_SOFT_MM = (0.0, 5.0)
_LEAST_SOFT_MM = 1e-3
_LOGISTIC = 1.7
"""A logistic curve is near a Gaussian's distribution function of this many times its scale."""

_WAVES = 4
_RAGGED = 0.4
_LEVELS = 5


def synthesise(
    image: Tensor, brain: Tensor, spacing: tuple[float, float], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return healthy slices with one anomaly each, and how strong it is.

    Inside the shape the slice is mixed with any other slice of the batch, by a share drawn evenly
    from [0, 1]. Then pixels of some of five ranges of intensity, each chosen by a coin, become
    brighter or darker by a number drawn evenly from [0, 1].

    Args:
        image: ``[B, 1, H, W]`` in [0, 1].
        brain: bool ``[B, 1, H, W]``; pixels outside it stay as they are.
        spacing: pixel height and width in mm.
        generator: source of every draw, on the image's device.

    Returns:
        The slices ``[B, 1, H, W]`` in [0, 1]; and ``[B]``: the larger one of the share and of the
        largest change of intensity.
    """
    count, device = len(image), image.device
    inside = draw_shapes(brain, spacing, generator) * brain
    share, change, sign = torch.rand(3, count, 1, 1, 1, generator=generator, device=device)
    mixed = image + inside * share * (_others(image, generator) - image)
    chosen = torch.rand(count, _LEVELS, generator=generator, device=device) < 0.5
    level = _levels(mixed, brain)
    pixels = chosen.gather(1, level.flatten(1)).view(image.shape)
    moved = mixed + inside * pixels * torch.where(sign < 0.5, -change, change)
    changed = torch.where(brain, moved.clamp(0, 1), image)
    most = (changed - mixed).abs().amax(dim=(1, 2, 3))
    return changed, torch.maximum(share.flatten(), most)


def draw_shapes(
    brain: Tensor,
    spacing: tuple[float, float],
    generator: torch.Generator,
    *,
    size_mm: tuple[float, float] = SIZE_MM,
    ragged: bool = False,
) -> Tensor:
    """Return one shape per slice, 1 inside and 0 outside, ``[B, 1, H, W]``.

    A rectangle, an ellipse, or an ellipse with a ragged rim, equally likely: its centre in the
    brain, and its edge as soft as after a Gaussian of 0 to 5 mm.

    Args:
        brain: bool ``[B, 1, H, W]``; where there is none, the centre is anywhere.
        spacing: pixel height and width in mm.
        generator: source of every draw, on the brain's device.
        size_mm: shortest and longest extent in either direction.
        ragged: whether all are ellipses with a ragged rim.
    """
    count, _, height, width = brain.shape
    device = brain.device

    def draw(low: float, high: float, *more: int) -> Tensor:
        shape = (count, *(more or (1,)), 1, 1)
        return low + (high - low) * torch.rand(shape, generator=generator, device=device)

    likely = brain.flatten(1).float() + 1e-9
    centre = torch.multinomial(likely, 1, generator=generator)[:, :, None, None]
    high, wide = draw(*size_mm) / 2, draw(*size_mm) / 2
    rows = torch.arange(height, device=device)[:, None]
    columns = torch.arange(width, device=device)
    y = (rows - centre // width) * spacing[0] / high
    x = (columns - centre % width) * spacing[1] / wide
    wave = torch.arange(1, _WAVES + 1, device=device)[:, None, None]
    height_of, phase = draw(-1.0, 1.0, _WAVES), draw(0.0, 2 * math.pi, _WAVES)
    waves = (height_of / wave * torch.cos(wave * torch.atan2(y, x) + phase)).sum(1, keepdim=True)
    radius = (y.square() + x.square()).sqrt()
    kind = draw(2.0 if ragged else 0.0, 3.0).floor()
    rim = torch.where(kind == 2, 1 + _RAGGED * waves, 1.0)
    outward = torch.where(kind == 0, torch.maximum(y.abs(), x.abs()), radius / rim.clamp(min=0.2))
    soft = draw(*_SOFT_MM).clamp(min=_LEAST_SOFT_MM) / _LOGISTIC
    return torch.sigmoid((1 - outward) * torch.minimum(high, wide) / soft)


def _others(image: Tensor, generator: torch.Generator) -> Tensor:
    """For each slice another of the batch, all equally likely; a slice that is alone is its own.

    The next one would mostly be its neighbour in the brain: the rows of a batch are sorted.
    """
    count, device = len(image), image.device
    further = torch.randint(1, max(count, 2), (count,), generator=generator, device=device)
    return image[(torch.arange(count, device=device) + further) % count]


def _levels(image: Tensor, brain: Tensor) -> Tensor:
    """Which fifth of its slice's brain each pixel's intensity is in, 0 to 4, ``[B, 1, H, W]``."""
    tissue = torch.where(brain, image, torch.nan).flatten(1)
    shares = torch.arange(1, _LEVELS, device=image.device) / _LEVELS
    limits = tissue.nanquantile(shares, dim=1).nan_to_num(1.0)
    return (image >= limits[:, :, None, None, None]).sum(dim=0)
