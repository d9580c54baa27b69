"""Self-supervision: bright rectangles that a detector learns to leave out.

Bercea et al. 2021 (FedDis) paint up to three rectangles, each with probability 1/2, into the
healthy input, on 128 x 128 pixels of 1.875 mm: 3 to 19 wide, 2/3 to 4/3 of that high, with the
upper left corner in rows 20 to 90 and columns 30 to 90. Here the geometry is kept in mm, the
rectangles are cut at the brain's edge, where a lesion ends too, and the intensity is drawn
afresh for every sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ATTEMPTS = 3
_CHANCE = 0.5
_WIDTH_MM = (5.6, 35.6)
_ASPECT = (2 / 3, 4 / 3)
_TOP_MM = (-82.5, 48.8)
_LEFT_MM = (-63.8, 48.8)
_TISSUE = 0.15
_PERCENTILE = 0.75


def paint_rectangles(
    image: Tensor, brain: Tensor, spacing: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Return a copy of healthy slices with bright rectangles painted in.

    Args:
        image: ``[B, 1, H, W]`` in [0, 1].
        brain: bool ``[B, 1, H, W]``; pixels outside it stay as they are.
        spacing: pixel height and width in mm.
        generator: source of every draw, on the image's device.

    Returns:
        ``[B, 1, H, W]``; in each sample the rectangles have one intensity, drawn evenly between
        the 75th percentile of its pixels above 0.15, and 1.
    """
    batch, _, height, width = image.shape

    def draw(low: float, high: float) -> Tensor:
        values = torch.rand(batch, _ATTEMPTS, 1, generator=generator, device=image.device)
        return low + (high - low) * values

    across = draw(*_WIDTH_MM)
    down = across * draw(*_ASPECT)
    rows = _between(_centred(height, spacing[0], image), draw(*_TOP_MM), down)
    columns = _between(_centred(width, spacing[1], image), draw(*_LEFT_MM), across)
    present = draw(0.0, 1.0) < _CHANCE
    inside = (present & rows)[..., :, None] & columns[..., None, :]
    painted = inside.any(dim=1, keepdim=True) & brain
    low = _bright_level(image)
    intensity = low + (1.0 - low) * draw(0.0, 1.0)[:, :1, :, None]
    return torch.where(painted, intensity, image)


def _centred(count: int, spacing: float, like: Tensor) -> Tensor:
    """Pixel centres in mm, 0 in the middle of the image."""
    return (torch.arange(count, device=like.device) - (count - 1) / 2) * spacing


def _between(position: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """Which positions ``[P]`` lie in ``[start, start + length)``, ``[B, A, 1] -> [B, A, P]``."""
    return (position >= start) & (position < start + length)


def _bright_level(image: Tensor) -> Tensor:
    """The 75th percentile of each sample's pixels above 0.15, or 0.15, as ``[B, 1, 1, 1]``."""
    tissue = torch.where(image > _TISSUE, image, torch.nan).flatten(1)
    return tissue.nanquantile(_PERCENTILE, dim=1).nan_to_num(_TISSUE)[:, None, None, None]
