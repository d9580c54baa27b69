"""How a scan fits the template: as it lies, and against the same scan moved or turned.

A number such as a correlation says little by itself: it depends on the disease, the scanner and
how tightly the brain was stripped. Whether a scan fits best as it lies does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from uad_bench.kernels import compiled_or
from uad_bench.volumes.grid import Affine, FloatArray, Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.read import LoadedScan
from uad_bench.volumes.steps.resample import resample
from uad_bench.volumes.steps.space import template_brain, template_grid, template_tissues

EXPECTED = (0.3, 1.1, 1.0)
"""FLAIR signal expected of CSF, GM and WM, relative to WM. Only its pattern matters: fluid dark,
grey matter a little brighter. CSF is not 0, because at 3 mm most of it shares its voxel."""

SHIFT_MM, TURN_DEGREES = 15.0, 30.0
"""How far a scan is moved on trial. Smaller moves change the fit less than people differ."""

_RECIPE = Recipe(name="fit", pixel_mm=3.0, slice_mm=3.0)
"""Everything here happens at 3 mm, whatever recipe the scan is prepared with."""

_MARGIN = 12
"""Slices of 3 mm below and above the template, for a scan that lies wrongly."""

_DEPTH_MM = 12.0
_LEAST_VOXELS = 20


@dataclass(frozen=True, slots=True)
class Fit:
    """How a scan fits the template, at 3 mm.

    Attributes:
        correlation: Pearson correlation, inside both brains, of the image (clipped to the 1st and
            99th percentile of the brain) with ``0.3 CSF + 1.1 GM + 1.0 WM`` of the template's
            tissue maps; 0 where there is no common brain.
        advantage: Dice of the brains + |correlation|, minus the best sum that the scan reaches
            in one of 15 other poses: 15 mm along and 30 degrees about every axis either way, and
            half a turn about each. Positive where the scan fits best as it lies, be it a FLAIR
            or, by mistake, a T2.
        rival: which pose that is, in words.
        csf: median of the image where the template is CSF almost surely, over that of WM, with
            the brain's 1st percentile as 0; ``None`` where there is too little of either.
        gm: the same of grey matter.
    """

    correlation: float
    advantage: float
    rival: str
    csf: float | None
    gm: float | None


@dataclass(frozen=True, slots=True)
class _Coarse:
    """A scan's brain at 3 mm, as points.

    Attributes:
        world: float64 ``[3, n]``, MNI152 coordinates of the brain's voxels in mm.
        image: float32 ``[n]``, 0 at the brain's 1st percentile, 1 at its 99th, and clipped there.
    """

    world: NDArray[np.float64]
    image: FloatArray


@dataclass(frozen=True, slots=True)
class _Template:
    """The template at 3 mm.

    Attributes:
        affine: index to MNI152 world coordinates.
        brain_voxels: how many of its voxels are at least half brain.
        maps: share of brain, and the FLAIR expected there, float32 ``[2, Z, H, W]``.
        deep: where it is CSF, GM and WM almost surely, far below its surface, for what is CSF at
            the surface is cortex in the next person; float32 ``[3, Z, H, W]``, 0 or 1.
        poses: what is done to a scan on trial, in words, and the affine that does it.
    """

    affine: Affine
    brain_voxels: int
    maps: FloatArray
    deep: FloatArray
    poses: tuple[tuple[str, Affine], ...]


def fit_template(loaded: LoadedScan) -> Fit:
    """Compare a scan with the template, however badly it is registered.

    Left and right cannot be told: the template and people are too symmetric.
    """
    template, coarse = _template(), _coarse(loaded)
    dice, correlation = _fit(coarse, template, np.eye(4))
    rivals: dict[str, float] = {}
    for name, move in template.poses:
        there = _fit(coarse, template, move)
        rivals[name] = there[0] + abs(there[1])
    rival = max(rivals, key=lambda name: rivals[name])
    csf, gm = _contrast(coarse, template)
    return Fit(correlation, dice + abs(correlation) - rivals[rival], rival, csf, gm)


@lru_cache(maxsize=1)
def _template() -> _Template:
    grid, tissues = template_grid(_RECIPE), template_tissues(_RECIPE)
    depth = distance_transform_edt(template_brain(_RECIPE), sampling=grid.spacing)
    sure = np.stack([tissues[0] > 0.8, tissues[1] > 0.8, tissues[2] > 0.9])
    centre = (grid.affine @ (*((n - 1) / 2 for n in grid.shape), 1.0))[:3]
    brain = tissues.sum(axis=0)
    expected = np.tensordot(np.asarray(EXPECTED, dtype=np.float32), tissues, 1)
    return _Template(
        affine=grid.affine,
        brain_voxels=int(np.count_nonzero(brain >= 0.5)),
        maps=np.stack([brain, expected]),
        deep=(sure & (depth > _DEPTH_MM)).astype(np.float32),
        poses=tuple(_poses(centre)),
    )


def _poses(centre: NDArray[np.float64]) -> Iterator[tuple[str, Affine]]:
    """Yield shifts along the axes, and turns about axes through ``centre``."""
    words = (("left", "right"), ("backwards", "forwards"), ("down", "up"))
    for axis in range(3):
        for sign, word in zip((-1, 1), words[axis], strict=True):
            shift = np.eye(4)
            shift[axis, 3] = sign * SHIFT_MM
            yield f"moved {SHIFT_MM:.0f} mm {word}", shift
        for degrees in (-TURN_DEGREES, TURN_DEGREES, 180.0):
            angle = np.deg2rad(degrees)
            i, j = (axis + 1) % 3, (axis + 2) % 3
            turn = np.eye(4)
            turn[i, i] = turn[j, j] = np.cos(angle)
            turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
            turn[:3, 3] = centre - turn[:3, :3] @ centre
            yield f"turned by {degrees:.0f} degrees about {'xyz'[axis]}", turn


def _coarse(loaded: LoadedScan) -> _Coarse:
    """Bring the scan to 3 mm, with room above and below the template for one that lies wrongly."""
    grid = template_grid(_RECIPE)
    affine = grid.affine.copy()
    affine[:3, 3] -= _MARGIN * affine[:3, 0]
    slices, rows, columns = grid.shape
    grid = Grid(affine, (slices + 2 * _MARGIN, rows, columns))
    share = resample(loaded.brain, loaded.affine, grid)
    inside = share >= 0.5
    total = resample(np.where(loaded.brain, loaded.image, 0.0), loaded.affine, grid, inside)
    index = np.stack(np.nonzero(inside))
    image = total[tuple(index)] / share[tuple(index)]
    if image.size:
        low, high = np.percentile(image, (1.0, 99.0))
        image = ((image - low) / max(high - low, 1e-6)).clip(0.0, 1.0)
    return _Coarse(affine[:3, :3] @ index + affine[:3, 3:], image.astype(np.float32))


def _fit(coarse: _Coarse, template: _Template, move: Affine) -> tuple[float, float]:
    """Return Dice and correlation with the template of the scan after ``move``."""
    index = _index(coarse, template, move)
    brain, expected = _at(template.maps, index)
    inside, whole = brain >= 0.5, template.brain_voxels
    # More of the scan's voxels may have their centre in the template brain than it has voxels.
    shared = min(int(np.count_nonzero(inside)), whole)
    dice = 2.0 * shared / (coarse.image.size + whole)
    image, expected = coarse.image[inside], expected[inside]
    if image.size < _LEAST_VOXELS or image.std() == 0.0:
        return dice, 0.0
    return dice, float(np.corrcoef(image, expected)[0, 1])


def _contrast(coarse: _Coarse, template: _Template) -> tuple[float | None, float | None]:
    """Return the brightness of CSF and of GM over that of WM; ``None`` where it cannot be said."""
    index = _index(coarse, template, np.eye(4))
    places = _at(template.deep, index) > 0.5
    levels = [
        float(np.median(coarse.image[place])) if place.sum() >= _LEAST_VOXELS else None
        for place in places
    ]
    csf, gm, wm = levels
    if not wm:
        return None, None
    return None if csf is None else csf / wm, None if gm is None else gm / wm


def _index(coarse: _Coarse, template: _Template, move: Affine) -> NDArray[np.float64]:
    """Return where the scan's points are in the template's arrays after ``move``: ``[3, n]``."""
    to_index = np.linalg.inv(template.affine) @ move
    return np.asarray(to_index[:3, :3] @ coarse.world + to_index[:3, 3:], dtype=np.float64)


def _at_by_scipy(maps: FloatArray, index: NDArray[np.float64]) -> FloatArray:
    from scipy.ndimage import map_coordinates

    return np.stack([map_coordinates(one, index, order=1, cval=0.0) for one in maps])


@compiled_or(_at_by_scipy)
def _at(maps: FloatArray, index: NDArray[np.float64]) -> FloatArray:
    """Return maps ``[K, Z, H, W]`` at points ``[3, n]``, linearly, 0 outside: ``[K, n]``."""
    found = np.zeros((maps.shape[0], index.shape[1]), dtype=np.float32)
    last_z, last_y, last_x = maps.shape[1] - 1, maps.shape[2] - 1, maps.shape[3] - 1
    for point in range(index.shape[1]):
        z, y, x = index[0, point], index[1, point], index[2, point]
        if not (0 <= z <= last_z and 0 <= y <= last_y and 0 <= x <= last_x):
            continue
        k, j, i = int(z), int(y), int(x)
        at_z, at_y, at_x = (k, min(k + 1, last_z)), (j, min(j + 1, last_y)), (i, min(i + 1, last_x))
        weights_z, weights_y, weights_x = (k + 1 - z, z - k), (j + 1 - y, y - j), (i + 1 - x, x - i)
        for one in range(maps.shape[0]):
            total = 0.0
            for a in range(2):
                for b in range(2):
                    for c in range(2):
                        value = maps[one, at_z[a], at_y[b], at_x[c]]
                        total += value * weights_z[a] * weights_y[b] * weights_x[c]
            found[one, point] = total
    return found
