"""Noise that is taken off slices again: white, or simplex noise, which is coarse and fine at once.

Simplex noise (Perlin 2001) of six octaves is what AnoDDPM trains with (Wyatt et al. 2022). Here
every slice has a permutation and offsets of its own, and every map is brought to mean 0 and
standard deviation 1, so that the schedule's ratio of signal to noise holds for it too.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

NoiseName = Literal["gaussian", "simplex"]

LONGEST_MM = 64.0
"""Wavelength of the first octave: the published 64 pixels of 1 mm. Each further one has half."""

OCTAVES = 6
PERSISTENCE = 0.8
"""Amplitude of an octave by that of the one before."""

_SKEW, _UNSKEW = (math.sqrt(3) - 1) / 2, (3 - math.sqrt(3)) / 6
_REACH = 0.5
_LATTICE = 256
_DIRECTIONS = 8


def draw_noise(
    kind: NoiseName,
    shape: tuple[int, int, int],
    spacing: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Return noise of mean 0 and variance 1, ``[B, 1, H, W]``, each slice's drawn on its own.

    Args:
        kind: white Gaussian noise, or simplex noise.
        shape: ``(B, H, W)``.
        spacing: pixel height and width in mm.
        generator: source of every draw; the noise is on its device.
    """
    if kind == "simplex":
        return simplex_noise(shape, spacing, generator)
    batch, height, width = shape
    return torch.randn(batch, 1, height, width, generator=generator, device=generator.device)


def noise_of_slices(
    kind: NoiseName,
    image: Tensor,
    z: Tensor,
    spacing: tuple[float, float],
    seed: tuple[int, ...],
) -> Tensor:
    """Return noise ``[B, 1, H, W]`` that follows from the seed and each slice's place alone.

    It is drawn on the CPU, slice by slice, so that it does not depend on the batch or the device.

    Args:
        kind: of noise.
        image: ``[B, 1, H, W]``, for its size and device.
        z: the slices' indices in the template, ``[B]``.
        spacing: pixel height and width in mm.
        seed: numbers from 0 on; others give other noise.
    """
    _, _, height, width = image.shape
    drawn = []
    for place in z.tolist():
        state = np.random.SeedSequence((*seed, place)).generate_state(1)
        source = torch.Generator().manual_seed(int(state[0]))
        drawn.append(draw_noise(kind, (1, height, width), spacing, source))
    return torch.cat(drawn).to(image.device)


def simplex_noise(
    shape: tuple[int, int, int], spacing: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Return six octaves of simplex noise, each map with mean 0 and standard deviation 1.

    Args:
        shape: ``(B, H, W)``.
        spacing: pixel height and width in mm.
        generator: source of every draw.

    Returns:
        ``[B, 1, H, W]``.
    """
    batch, height, width = shape
    device = generator.device
    permutation = torch.rand(batch, _LATTICE, generator=generator, device=device).argsort(dim=1)
    offset = _LATTICE * torch.rand(2, batch, OCTAVES, 1, generator=generator, device=device)
    octave = torch.arange(OCTAVES, device=device)
    waves = (2.0**octave / LONGEST_MM)[:, None]
    rows, columns = (
        offset[axis] + waves * spacing[axis] * torch.arange(size, device=device)
        for axis, size in enumerate((height, width))
    )
    found = simplex(rows[..., :, None], columns[..., None, :], permutation)
    total = (PERSISTENCE ** octave[:, None, None] * found).sum(dim=1, keepdim=True)
    centred = total - total.mean(dim=(2, 3), keepdim=True)
    noise: Tensor = centred / centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
    return noise


def simplex(row: Tensor, column: Tensor, permutation: Tensor) -> Tensor:
    """Return simplex noise in the plane at the given places.

    A place is inside one triangle of a skewed lattice. Each corner has a direction, which the
    permutation gives it, and adds ``(1/2 - r^2)^4`` times the way to it along that direction.

    Args:
        row: ``[B, O, H, 1]``, 0 or more, in units of the lattice.
        column: ``[B, O, 1, W]``.
        permutation: of 0 to 255 for each sample, ``[B, 256]``.

    Returns:
        ``[B, O, H, W]``, roughly in [-0.01, 0.01].
    """
    skewed = (row + column) * _SKEW
    i, j = (row + skewed).floor(), (column + skewed).floor()
    shift = (i + j) * _UNSKEW
    y, x = row - i + shift, column - j + shift
    lower = (y > x).to(y.dtype)
    corners = ((0.0, 0.0, 0.0), (lower, 1 - lower, _UNSKEW), (1.0, 1.0, 2 * _UNSKEW))
    directions = torch.arange(_DIRECTIONS, device=y.device) * (2 * math.pi / _DIRECTIONS)
    table = permutation % _DIRECTIONS
    total = torch.zeros_like(y)
    for down, right, back in corners:
        dy, dx = y - down + back, x - right + back
        inner = _looked_up(permutation, j + right)
        angle = directions[_looked_up(table, i + down + inner)]
        near = (_REACH - dy.square() - dx.square()).clamp(min=0).square().square()
        total += near * (angle.sin() * dy + angle.cos() * dx)
    return total


def _looked_up(table: Tensor, place: Tensor) -> Tensor:
    """Each sample's entry ``[B, 256]`` at places ``[B, O, H, W]``, which go round."""
    rows = (place.long() % _LATTICE).flatten(1)
    return table.gather(1, rows).view(place.shape)
