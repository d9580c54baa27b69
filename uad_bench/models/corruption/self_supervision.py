"""Self-supervision: inputs painted on, which a detector learns to undo, and clean targets.

Bercea et al. 2021 (FedDis) paint up to three rectangles, each with probability 1/2, into the
healthy input, on 128 x 128 pixels of 1.875 mm: 3 to 19 wide, 2/3 to 4/3 of that high, with the
upper left corner in rows 20 to 90 and columns 30 to 90. Here the geometry is kept in mm, the
rectangles are cut at the brain's edge, where a lesion ends too, and the intensity is drawn
afresh for every sample.

Kascenas et al. 2022 add coarse Gaussian noise to the input instead.

Bercea et al. also clean the target of the bright spots that healthy people have, by a routine
that is not published; :func:`clean` is a reading of it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Corruption = Literal["rectangles", "noise", "none"]

_ATTEMPTS = 3
_CHANCE = 0.5
_WIDTH_MM = (5.6, 35.6)
_ASPECT = (2 / 3, 4 / 3)
_TOP_MM = (-82.5, 48.8)
_LEFT_MM = (-63.8, 48.8)
_TISSUE = 0.15
_PERCENTILE = 0.75

_SQUARES = 3

_NOISE_SD = 0.2
_NOISE_GRID = 16

_OUTLIER_SD = 3.0
_LEAST_SD = 0.08
_MAD_TO_SD = 1.4826
_CLIPPED = 1.0
_SPOT_PX = 5
_RIM_PX = 3
_WINDOW_PX = 15


def corrupt(
    image: Tensor,
    brain: Tensor,
    spacing: tuple[float, float],
    corruption: Corruption,
    generator: torch.Generator,
) -> Tensor:
    """Return healthy slices ``[B, 1, H, W]``, painted on as ``corruption`` says."""
    if corruption == "rectangles":
        return paint_rectangles(image, brain, spacing, generator)
    return paint_noise(image, brain, generator) if corruption == "noise" else image


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


def paint_noise(image: Tensor, brain: Tensor, generator: torch.Generator) -> Tensor:
    """Return a copy of healthy slices with coarse noise added (Kascenas et al. 2022).

    The noise is drawn from N(0, 0.2^2) on a grid of 16 x 16 points, brought to the slice's size
    by bilinear interpolation (which lowers its standard deviation between the points), and rolled
    by a shift that is drawn for every sample, so that the grid lies nowhere in particular.

    Args:
        image: ``[B, 1, H, W]`` in [0, 1].
        brain: bool ``[B, 1, H, W]``; pixels outside it stay as they are, which is 0.
        generator: source of every draw, on the image's device.

    Returns:
        ``[B, 1, H, W]`` in [0, 1]: what the noise takes out of that range is clipped.
    """
    batch, _, height, width = image.shape
    shape = (batch, 1, _NOISE_GRID, _NOISE_GRID)
    coarse = _NOISE_SD * torch.randn(shape, generator=generator, device=image.device)
    noise = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
    rows, columns = (_rolled(size, batch, generator) for size in (height, width))
    sample = torch.arange(batch, device=image.device)[:, None, None]
    shifted = noise[sample, 0, rows[:, :, None], columns[:, None, :]][:, None]
    return torch.where(brain, (image + shifted).clamp(0.0, 1.0), image)


def cut_squares(image: Tensor, brain: Tensor, generator: torch.Generator) -> Tensor:
    """Return a copy of healthy slices with up to three squares cut out (Zimmerer et al. 2018).

    The sizes and values are those of the authors' later code: sides of up to half the slice, each
    square filled with one value from [0, 1].

    Args:
        image: ``[B, 1, H, W]`` in [0, 1].
        brain: bool ``[B, 1, H, W]``; pixels outside it stay as they are.
        generator: source of every draw, on the image's device.

    Returns:
        ``[B, 1, H, W]``; a sample has 0, 1, 2 or 3 squares, each equally likely.
    """
    batch, _, height, width = image.shape
    device = image.device
    count = torch.randint(_SQUARES + 1, (batch,), generator=generator, device=device)
    side, top, left, value = torch.rand(
        4, batch, _SQUARES, 1, generator=generator, device=device
    ).unbind()
    side = side * min(height, width) / 2
    # a pixel reaches half its size to both sides of its centre
    rows = _between(torch.arange(height, device=device), top * (height - side) - 0.5, side)
    columns = _between(torch.arange(width, device=device), left * (width - side) - 0.5, side)
    cut = image
    for square in range(_SQUARES):
        present = (square < count)[:, None, None]
        inside = present & rows[:, square, :, None] & columns[:, square, None, :]
        filled = value[:, square, :, None, None].expand_as(image)
        cut = torch.where(inside[:, None] & brain, filled, cut)
    return cut


def clean(image: Tensor, brain: Tensor) -> Tensor:
    """Return healthy slices without their hyperintense outliers.

    An outlier is at least 3 pixels (along rows, columns and diagonals) from the nearest pixel
    outside the brain, where fat and the skull's remains are bright, and either

    * brighter than the median of its slice's brain and three standard deviations, which are 1.4826
      times the median absolute deviation, so that outliers do not hide themselves, and at least
      0.08, so that a slice of one tissue has few; or
    * in a spot at the upper end of the range: 1, as are at least five of the nine pixels around
      it. Where images are clipped at 1 the first limit often lies above it.

    It becomes the median of the brain's other pixels in the 15 x 15 pixels around it, or of the
    whole slice's where there is none.

    Args:
        image: ``[B, 1, H, W]`` in [0, 1].
        brain: bool ``[B, 1, H, W]``.

    Returns:
        ``[B, 1, H, W]``; pixels that are no outliers keep their bits.
    """
    outlier = ((image > _outlier_level(image, brain)) | _clipped_spots(image)) & _inside(brain)
    if not outlier.any():
        return image
    rest = torch.where(brain & ~outlier, image, torch.nan)
    half = _WINDOW_PX // 2
    padded = nn.functional.pad(rest, (half, half, half, half), value=torch.nan)
    windows = padded.unfold(2, _WINDOW_PX, 1).unfold(3, _WINDOW_PX, 1)
    local = windows[outlier].flatten(1).nanmedian(dim=1).values
    whole = rest.flatten(1).nanmedian(dim=1).values[outlier.nonzero()[:, 0]]
    cleaned = image.clone()
    cleaned[outlier] = torch.where(local.isnan(), whole, local)
    return cleaned


def _rolled(size: int, batch: int, generator: torch.Generator) -> Tensor:
    """Indices ``[batch, size]`` that roll an axis by a random shift per sample."""
    device = generator.device
    shift = torch.randint(size, (batch, 1), generator=generator, device=device)
    return (torch.arange(size, device=device) + shift) % size


def _outlier_level(image: Tensor, brain: Tensor) -> Tensor:
    """The median and three robust standard deviations of each slice's brain, ``[B, 1, 1, 1]``."""
    tissue = torch.where(brain, image, torch.nan).flatten(1)
    median = tissue.nanmedian(dim=1, keepdim=True).values
    spread = (tissue - median).abs().nanmedian(dim=1, keepdim=True).values
    limit = median + _OUTLIER_SD * (_MAD_TO_SD * spread).clamp(min=_LEAST_SD)
    return limit[..., None, None]


def _clipped_spots(image: Tensor) -> Tensor:
    """Pixels at the upper end of the range among others there, bool ``[B, 1, H, W]``."""
    clipped = image >= _CLIPPED
    around = 9 * nn.functional.avg_pool2d(clipped.float(), 3, stride=1, padding=1)
    return clipped & (around.round() >= _SPOT_PX)


def _inside(brain: Tensor) -> Tensor:
    """The brain without its rim; what lies beyond the image is outside."""
    reach = _RIM_PX - 1
    outside = nn.functional.pad((~brain).float(), (reach, reach, reach, reach), value=1.0)
    return nn.functional.max_pool2d(outside, 2 * reach + 1, stride=1) == 0


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
