"""FLAIR signal of a healthy brain, relative to white matter, before any scanner."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from uad_bench.phantom.brain.anatomy import WORK_SHAPE, coordinates
from uad_bench.phantom.brain.fields import Array, smooth_field
from uad_bench.phantom.brain.subject import Brain


@dataclass(frozen=True, slots=True)
class Contrast:
    """Mean FLAIR signals of a scanner's protocol; white matter is 1.

    Attributes:
        csf: cerebrospinal fluid, nulled by the inversion.
        gm: cortical grey matter.
        spread: relative standard deviation of the tissue means between subjects.
        texture: relative standard deviation of the signal within a tissue at the millimetre
            scale, noise apart.
    """

    csf: float = 0.06
    gm: float = 1.24
    spread: float = 0.025
    texture: float = 0.03


def healthy_signal(
    brain: Brain, contrast: Contrast, rng: np.random.Generator, *, age: float
) -> Array:
    """FLAIR signal of the brain without lesions.

    Tissue means vary smoothly in space; a thin bright rim lines the ventricles, with soft caps
    at their horns that grow with age; the choroid plexus is bright; dura and vessels at the
    surface are patchy.

    Args:
        brain: the subject's brain.
        contrast: the scanner's mean signals.
        rng: source of the draws.
        age: in years.

    Returns:
        float32 ``[X, Y, Z]``, white matter about 1.
    """
    gm_mean = contrast.gm * (1 + contrast.spread * rng.standard_normal())
    csf_mean = contrast.csf * math.exp(0.3 * rng.standard_normal())
    gm_drift = 1 + np.float32(0.05) * smooth_field(rng, WORK_SHAPE, 22.0)
    wm_drift = 1 + np.float32(0.025) * smooth_field(rng, WORK_SHAPE, 28.0)
    texture = 1 + np.float32(contrast.texture) * smooth_field(rng, WORK_SHAPE, 2.2)
    # Only the cerebral cortex is that bright; cerebellar cortex and deep nuclei are closer to WM.
    gm_signal = 1 + (gm_mean - 1) * (0.55 + 0.45 * brain.cerebrum)
    tissue = brain.gm * (gm_signal * gm_drift) + brain.wm * wm_drift
    tissue *= 1 - 0.09 * brain.gm * (1 - brain.cerebrum) * _folia(rng)
    tissue *= brain.tone * texture * (1 + _ventricular_rim(brain, rng, age=age))
    fluid = csf_mean + _plexus(brain, rng) + _surface(brain, rng)
    return np.asarray(tissue + brain.csf * fluid, dtype=np.float32)


def _folia(rng: np.random.Generator) -> Array:
    """Cerebellar folia: fine stripes around the fourth ventricle's roof; 0 to 1."""
    x, y, z = coordinates()
    radius = np.sqrt((0.7 * x) ** 2 + (y + 40) ** 2 + (z + 33) ** 2)
    phase = (
        2 * math.pi * radius / 3.7
        + 1.5 * smooth_field(rng, WORK_SHAPE, 12.0)
        + 1.2 * smooth_field(rng, WORK_SHAPE, 5.0)
    )
    return np.asarray(0.5 + 0.5 * np.sin(phase), dtype=np.float32)


def _ventricular_rim(brain: Brain, rng: np.random.Generator, *, age: float) -> Array:
    """Relative extra signal of the periventricular rim and of the caps at the horns."""
    near = np.clip(brain.ventricle, 0, None)
    old = float(np.clip((age - 30) / 40, 0, 1.3))
    rim = rng.uniform(0.06, 0.14) * np.exp(-near / 1.3)
    caps = (0.04 + rng.uniform(0.05, 0.22) * old) * brain.horns * np.exp(-near / 3.5)
    return np.asarray((rim + caps) * (brain.ventricle < 15), dtype=np.float32)


def _plexus(brain: Brain, rng: np.random.Generator) -> Array:
    """Signal of the choroid plexus inside the ventricles."""
    lobules = smooth_field(rng, WORK_SHAPE, 2.5)
    presence = np.clip(brain.plexus * 2.6 - 0.9 + 0.6 * lobules, 0, 1)
    return np.asarray(presence * (brain.ventricle < 0) * rng.uniform(0.8, 1.15), dtype=np.float32)


def _surface(brain: Brain, rng: np.random.Generator) -> Array:
    """Signal of dura, vessels and partial volume in the fluid at the brain's surface."""
    patches = smooth_field(rng, WORK_SHAPE, 7.0) + 0.8 * smooth_field(rng, WORK_SHAPE, 2.5)
    shell = np.exp(-np.abs(brain.depth) / 2.5)
    return np.asarray(np.clip(patches - 1.0, 0, 1.6) * 0.45 * shell, dtype=np.float32)
