"""A subject's own brain: the anatomy under a random smooth diffeomorphism, age and mass effect."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from uad_bench.phantom.brain.anatomy import FAR, MAPS, WORK_ORIGIN, WORK_SHAPE, Anatomy
from uad_bench.phantom.brain.fields import (
    Array,
    Field,
    by_planes,
    linear_matrix,
    pulled,
    sample_maps,
    separable,
    spline_matrix,
    upsample,
)

STEP: Final = 4
"""The displacement is made on every fourth voxel."""
_SHRINK: Final = 0.075
"""Living brains are smaller than MNI152, and datasets are registered rigidly as often as not."""
_COARSE: Final = tuple(linear_matrix(n, STEP).shape[1] for n in WORK_SHAPE)
_FILL: Final = np.array([0, 0, 0, 1, FAR, FAR, 0, -FAR, 0, 0], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Mass:
    """A space-occupying mass.

    Attributes:
        centre: MNI152 coordinates in mm.
        push: how far tissue at its border is displaced, in mm.
        reach: how far the displacement is felt, in mm.
    """

    centre: tuple[float, float, float]
    push: float
    reach: float = 32.0


@dataclass(frozen=True, slots=True)
class Brain:
    """One subject's brain on the working grid; all float32 ``[X, Y, Z]``.

    ``csf``, ``gm`` and ``wm`` are fractions of a voxel (their sum is 1 inside); the others are
    as in ``Anatomy``.
    """

    csf: Array
    gm: Array
    wm: Array
    tone: Array
    ventricle: Array
    cortex: Array
    cerebrum: Array
    depth: Array
    plexus: Array
    horns: Array

    def planes(self, some: slice) -> Brain:
        """Some planes of everything."""
        return Brain(*(getattr(self, one.name)[some] for one in fields(self)))


def _coarse_field(rng: np.random.Generator, correlation_mm: float) -> Array:
    matrices = tuple(spline_matrix(n, correlation_mm / STEP) for n in _COARSE)
    x, y, z = matrices
    draws = rng.standard_normal((3, x.shape[1], y.shape[1], z.shape[1]), dtype=np.float32)
    return np.stack([separable(draw, (x, y, z)) for draw in draws]) * np.float32(3.0)


def _identity() -> Array:
    return np.indices(_COARSE, dtype=np.float32)


def random_displacement(rng: np.random.Generator, *, variability: float) -> Array:
    """A diffeomorphic displacement in mm on the coarse grid, by scaling and squaring.

    Three scales of stationary velocity: lobes, gyri and folds, and an affine part (size and
    skew of a few per cent, which registration to the template leaves over).

    Args:
        rng: source of the draws.
        variability: 1 for a population, less to stay near the anatomy.

    Returns:
        float32 ``[3, x, y, z]``.
    """
    velocity = np.zeros((3, *_COARSE), dtype=np.float32)
    for correlation, amplitude in ((45.0, 2.6), (20.0, 2.0), (9.0, 1.1)):
        velocity += _coarse_field(rng, correlation) / 3.0 * np.float32(amplitude * variability)
    grid = _identity()
    displacement = velocity
    displacement *= 2.0**-4
    for _ in range(4):
        displacement += pulled(displacement, grid + displacement / STEP)
    affine = (rng.standard_normal((3, 3)) * 0.014).astype(np.float32)
    affine += np.diag(rng.standard_normal(3) * 0.018).astype(np.float32)
    affine += np.eye(3, dtype=np.float32) * np.float32(_SHRINK + 0.03 * rng.standard_normal())
    centre = (np.array(_COARSE, dtype=np.float32) / 2)[:, None, None, None]
    linear = np.tensordot(affine, (grid - centre) * STEP, axes=1)
    return np.asarray(displacement + linear, dtype=np.float32)


def _widen_ventricles(anatomy: Anatomy, displacement: Array, widen_mm: float) -> Array:
    """Add the displacement that moves the ventricles' walls outwards by ``widen_mm``."""
    channel = MAPS.index("ventricle")
    distance = anatomy.maps[::STEP, ::STEP, ::STEP, channel]
    gradient = np.stack(np.gradient(distance, STEP))
    fall = np.where(distance > 0, np.exp(-distance / 16), np.exp(distance / 5))
    towards = (-gradient * fall).astype(np.float32)
    at = _identity() + displacement / STEP
    return np.asarray(displacement + widen_mm * pulled(towards, at), dtype=np.float32)


def _push_aside(displacement: Array, mass: Mass) -> Array:
    """Put the displacement of a growing mass before ``displacement``."""
    grid = _identity()
    origin = np.array(WORK_ORIGIN, dtype=np.float32)[:, None, None, None]
    offset = grid * STEP + origin - np.array(mass.centre, dtype=np.float32)[:, None, None, None]
    radius = np.sqrt((offset**2).sum(axis=0)) + np.float32(1e-3)
    size = mass.push * (1 - np.exp(-radius / 6)) * np.exp(-((radius / mass.reach) ** 2))
    inward = (-offset / radius * size).astype(np.float32)
    pushed = inward + pulled(displacement, grid + inward / STEP)
    return np.asarray(pushed, dtype=np.float32)


def subject_displacement(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    atrophy: float,
    variability: float,
    mass: Mass | None,
) -> Array:
    """Where each voxel of a subject's brain lies in the anatomy; arguments as of `make_brain`.

    Returns:
        float32 ``[3, x, y, z]`` in mm on the coarse grid.
    """
    displacement = random_displacement(rng, variability=variability)
    widen = (3.0 * atrophy - 0.6) + rng.normal(0, 0.5)
    displacement = _widen_ventricles(anatomy, displacement, float(np.clip(widen, -1.0, 6.0)))
    if mass is not None:
        displacement = _push_aside(displacement, mass)
    return displacement


def make_brain(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    atrophy: float,
    variability: float = 1.0,
    mass: Mass | None = None,
) -> Brain:
    """One subject's brain.

    Args:
        anatomy: the brain to start from.
        rng: source of the draws; the same state gives the same brain.
        atrophy: 0 for a young adult, 1 for a healthy 70-year-old; may exceed 1.
        variability: scale of the random displacement.
        mass: a mass that displaces the tissue.
    """
    displacement = subject_displacement(
        anatomy, rng, atrophy=atrophy, variability=variability, mass=mass
    )
    shift = np.stack([upsample(part, WORK_SHAPE, STEP) for part in displacement])
    maps = sample_maps(anatomy.maps, shift, MAPS.index("depth"), -6.0, _FILL)
    csf, gm, wm = _individual_folds(maps, rng, atrophy=atrophy, soft=anatomy.soft)
    return Brain(csf, gm, wm, *maps[3:])


def _individual_folds(
    maps: Array, rng: np.random.Generator, *, atrophy: float, soft: bool
) -> tuple[Array, Array, Array]:
    """Turn probabilities into one person's voxel fractions.

    A population average is blurred where people differ. Raising the probabilities to a power
    sharpens them, and random fields at the scale of folds decide, place by place, which tissue
    wins; the bias towards CSF is larger with atrophy.
    """
    sharpness = np.float32(2.6 if soft else 1.15)
    spread = np.float32(1.0 if soft else 0.25)
    towards_csf = np.float32(0.7 * atrophy + (0.25 if soft else 0.0))
    to_csf, to_wm = (Field.drawn(rng, WORK_SHAPE, 6.0) for _ in range(2))

    def fractions(some: slice) -> Array:
        tissues, depth = maps[:3, some], maps[MAPS.index("depth"), some]
        inside = np.flatnonzero(tissues[0] + tissues[1] + tissues[2] > 1e-3)
        outer = np.exp(-np.clip(np.take(depth, inside), 0, None) / 18)
        pial = spread * np.take(to_csf.planes(some), inside) + towards_csf * outer
        white = np.float32(0.45) * spread * np.take(to_wm.planes(some), inside)
        none = np.zeros(1, dtype=np.float32)
        odds = np.stack(
            [
                np.exp(sharpness * np.log(np.clip(np.take(tissue, inside), 1e-4, 1)) + bias)
                for tissue, bias in zip(tissues, (pial, none, white), strict=True)
            ]
        )
        odds /= odds.sum(axis=0)
        found = np.zeros((3, depth.size), dtype=np.float32)
        found[0] = depth.ravel() > -5
        found[:, inside] = odds
        return found.reshape(3, *depth.shape)

    csf, gm, wm = by_planes((3, *WORK_SHAPE), fractions, np.float32)
    return csf, gm, wm
