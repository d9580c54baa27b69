"""Masks that are filled in: drawn ones to learn from, and ones that shrink to what is anomalous.

Liang et al. 2024 (IterMask2). Lengths are theirs, in mm for slices of 240 mm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

_BLOCKS_MM = (7.5, 15.0, 30.0)
_SHARES = (0.1, 0.7)
_COARSEST_MM = 16.0
_KEPT = 0.6
_LEAST_SHRUNK = 0.01


def fine_structure(image: Tensor, spacing: tuple[float, float]) -> Tensor:
    """Return slices without their intensities: of coarse waves only the phase is left.

    The amplitude of each wave longer than 16 mm becomes 1.

    Args:
        image: ``[B, 1, H, W]``.
        spacing: pixel height and width in mm.
    """
    height, width = image.shape[2:]
    rows = torch.fft.fftfreq(height, spacing[0], device=image.device)
    columns = torch.fft.fftfreq(width, spacing[1], device=image.device)
    coarse = torch.hypot(rows[:, None], columns) < 1 / _COARSEST_MM
    waves = torch.fft.fft2(image)
    found: Tensor = torch.fft.ifft2(torch.where(coarse, waves.sgn(), waves)).real
    return found


def draw_masks(brain: Tensor, spacing: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Return clusters of squares inside the brain, bool ``[B, 1, H, W]``.

    Squares of one slice are 7.5, 15 or 30 mm wide, equally likely, and cover 10 to 70 % of the
    brain. Neighbours are drawn together more often than not.

    Args:
        brain: bool ``[B, 1, H, W]``.
        spacing: pixel height and width in mm.
        generator: source of every draw, on the brain's device.
    """
    count, _, height, width = brain.shape
    device = brain.device
    sizes = torch.tensor(_BLOCKS_MM, device=device)
    kind = torch.randint(len(sizes), (count, 1), generator=generator, device=device)
    offset = torch.rand(2, count, 1, generator=generator, device=device)
    rows, columns = (
        (torch.arange(length, device=device) * size / sizes[kind] + start).long()
        for length, size, start in zip((height, width), spacing, offset, strict=True)
    )
    grid = (int(rows.max()) + 1, int(columns.max()) + 1)
    likely = torch.rand(count, 1, *grid, generator=generator, device=device)
    together = nn.functional.avg_pool2d(likely, 3, stride=1, padding=1, count_include_pad=False)
    sample = torch.arange(count, device=device)[:, None, None]
    values = together[sample, 0, rows[:, :, None], columns[:, None, :]][:, None]
    low, high = _SHARES
    share = low + (high - low) * torch.rand(count, generator=generator, device=device)
    limit = torch.where(brain, values, torch.nan).flatten(1).nanquantile(1 - share, dim=1)
    return (values >= limit.diagonal()[:, None, None, None]) & brain


def shrinking(
    look: Callable[[int, Tensor], Tensor],
    image: Tensor,
    brain: Tensor,
    threshold: float,
    looks: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the mask and what was made of the slice, look after look, each mask in the one before.

    The first mask is the brain. After it, the 60 % of the brain that differ most are kept, and then
    what differs by the threshold or more. A slice whose mask shrinks by less than 1 % is done,
    and stays as it is. The slices do not see each other.

    Args:
        look: from the number of a look, from 0, and masks, bool ``[B, 1, H, W]``, to slices.
        image: ``[B, 1, H, W]``.
        brain: bool ``[B, 1, H, W]``.
        threshold: difference from which on a pixel stays masked.
        looks: at most as many.
    """
    mask, made = brain, image
    done = torch.zeros(len(image), 1, 1, 1, dtype=torch.bool, device=image.device)
    for number in range(looks):
        made = torch.where(done, made, look(number, mask))
        yield mask, made
        error = (image - made).abs()
        kept = mask & (error >= (threshold if number else _least_kept(error, brain)))
        before, after = (one.sum(dim=(1, 2, 3), keepdim=True) for one in (mask, kept))
        if number:
            done = done | (after >= (1 - _LEAST_SHRUNK) * before)
        mask = torch.where(done, mask, kept)
        if done.all():
            return


def _least_kept(error: Tensor, brain: Tensor) -> Tensor:
    """The error that 60 % of each slice's brain reach, ``[B, 1, 1, 1]``."""
    inside = torch.where(brain, error, torch.nan).flatten(1)
    return inside.nanquantile(1 - _KEPT, dim=1)[:, None, None, None]
