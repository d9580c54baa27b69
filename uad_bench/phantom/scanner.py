"""From signal to image: slice profile, bias field, noise, brain extraction, output grid."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from uad_bench.phantom.brain.anatomy import WORK_ORIGIN, WORK_SHAPE
from uad_bench.phantom.brain.blur import blurred
from uad_bench.phantom.brain.fields import Array, Field, Shape, bands, by_planes, smooth_field
from uad_bench.phantom.brain.subject import Brain
from uad_bench.phantom.contrast import Contrast

Number = TypeVar("Number", np.float32, np.uint8)

_LEAST_WEIGHT: Final = 1e-30
"""Smaller weights of a slice profile are 0. They move no number, and a processor multiplies by the
smallest of them, denormal numbers, a hundred times as slowly."""

_SLICES: Final = 32
"""Slices that are made at once: together they see a part of the working grid."""

FIELD_OF_VIEW: Final = ((-90, 91), (-126, 91), (-72, 109))
"""World coordinates in mm of the first and last voxel centre of the output, at 1 mm."""


@dataclass(frozen=True, slots=True)
class Scanner:
    """A scanner and its FLAIR protocol.

    Attributes:
        site: its name, where a dataset has several.
        resolution_mm: acquired voxel size ``(z, y, x)``; the image is blurred accordingly.
        slice_mm: distance between the slices that are written, at least 1.
        contrast: mean tissue signals.
        noise: standard deviation of the complex noise relative to white matter, from and to.
        bias: relative standard deviation of the multiplicative field that N4 left over.
        scale: scanner units of white matter, from and to.
    """

    resolution_mm: tuple[float, float, float]
    slice_mm: float
    site: str | None = None
    contrast: Contrast = field(default_factory=Contrast)
    noise: tuple[float, float] = (0.025, 0.05)
    bias: float = 0.03
    scale: tuple[float, float] = (120.0, 400.0)


@functools.lru_cache(maxsize=32)
def slice_profile(slices: int, step: float, width: float) -> Array:
    """Weights of the slice direction: a slice sees a slab of ``width`` mm around itself.

    The profile is a Gaussian whose full width at half maximum is the slab, of which the working
    grid's own 1 mm voxel is a part; a slice that lies outside the working grid is 0.

    Returns:
        float32 ``[slices, working grid's Z]``.
    """
    sigma = max(math.sqrt(max(width**2 - 1.0, 0.0)), 0.5) / 2.3548
    centres = FIELD_OF_VIEW[2][0] + step * np.arange(slices)
    at = WORK_ORIGIN[2] + np.arange(WORK_SHAPE[2])
    weights = np.exp(-0.5 * ((at[None, :] - centres[:, None]) / sigma) ** 2)
    seen = (centres >= at[0]) & (centres <= at[-1])
    total = np.where(seen, np.clip(weights.sum(axis=1), 1e-9, None), np.inf)
    weights /= total[:, None]
    return np.where(weights < _LEAST_WEIGHT, 0.0, weights).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """The linear part of a scanner: how arrays on the working grid become slices.

    In plane every dataset was acquired at 1 mm or finer, and is written at 1 mm: there the working
    grid is the image. Only the slice direction is blurred and resampled.
    """

    scanner: Scanner

    @property
    def shape(self) -> Shape:
        """Output grid ``[X, Y, Z]``."""
        (x0, x1), (y0, y1), (z0, z1) = FIELD_OF_VIEW
        return x1 - x0 + 1, y1 - y0 + 1, int((z1 - z0) / self.scanner.slice_mm) + 1

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel to MNI152 world coordinates in mm."""
        affine = np.diag([1.0, 1.0, self.scanner.slice_mm, 1.0])
        affine[:3, 3] = [low for low, _ in FIELD_OF_VIEW]
        return affine

    def slices(self, values: Array) -> Array:
        """Slices of working-grid values: ``[X, Y, Z]`` to ``[X, Y, slices]``."""
        matrix = slice_profile(self.shape[2], self.scanner.slice_mm, self.scanner.resolution_mm[0])
        out = np.empty((*values.shape[:2], len(matrix)), dtype=np.float32)
        for some, used in bands(matrix, _SLICES):
            out[..., some] = values[..., used] @ matrix[some, used].T
        return out

    def place(self, slices: NDArray[Number]) -> NDArray[Number]:
        """Put slices of the working grid into the output grid, 0 around them."""
        out = np.zeros(self.shape, dtype=slices.dtype)
        x, y = (WORK_ORIGIN[axis] - FIELD_OF_VIEW[axis][0] for axis in range(2))
        out[x : x + slices.shape[0], y : y + slices.shape[1]] = slices
        return out


def brain_region(brain: Brain, rng: np.random.Generator) -> Array:
    """Membership in the extracted brain: imperfect, here a millimetre wide, there one short.

    Returns:
        float32 ``[X, Y, Z]`` on the working grid; the brain is where it is above 0.5.
    """
    broad, fine = Field.drawn(rng, WORK_SHAPE, 16.0), Field.drawn(rng, WORK_SHAPE, 5.0)

    def membership(some: slice) -> Array:
        slack = 0.5 + 0.9 * broad.planes(some) + 0.4 * fine.planes(some)
        return np.asarray(np.clip(0.5 + 0.5 * (brain.depth[some] + slack), 0, 1), dtype=np.float32)

    return by_planes(WORK_SHAPE, membership, np.float32)


def _shape(values: Array) -> Shape:
    x, y, z = values.shape
    return x, y, z


def expose(
    signal: Array, inside: NDArray[np.bool_], scanner: Scanner, rng: np.random.Generator
) -> Array:
    """Turn a projected signal into an image: bias field, Rician noise, scale, 0 outside.

    Args:
        signal: float32 on the output grid, white matter about 1.
        inside: the brain on the same grid.
        scanner: whose noise and bias to use.
        rng: source of the draws.

    Returns:
        float32 of the same shape, scanner units.
    """
    left_over = smooth_field(rng, _shape(signal), 55.0)
    sigma = np.float32(rng.uniform(*scanner.noise))
    # Registration to the template interpolates once, which correlates neighbouring noise.
    real = blurred(rng.standard_normal(signal.shape, dtype=np.float32), 0.45)
    imaginary = rng.standard_normal(signal.shape, dtype=np.float32)
    scale = np.float32(rng.uniform(*scanner.scale))
    brain = np.flatnonzero(inside)

    def there(values: Array) -> Array:
        return np.take(values, brain)

    biased = there(signal) * np.exp(np.float32(scanner.bias) * there(left_over))
    noise = np.float32(1.35) * sigma * there(real), sigma * there(imaginary)
    image = np.zeros(signal.size, dtype=np.float32)
    image[brain] = np.hypot(biased + noise[0], noise[1]) * scale
    return image.reshape(signal.shape)
