"""FLAIR signal of a healthy brain, relative to white matter, before any scanner."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from uad_bench.phantom.brain.anatomy import WORK_SHAPE, coordinates
from uad_bench.phantom.brain.fields import Array, Field, by_planes
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
    look = _Look.drawn(contrast, rng, age=age)
    return by_planes(WORK_SHAPE, lambda some: look.signal(brain.planes(some), some), np.float32)


@dataclass(frozen=True, slots=True)
class _Look:
    """What is drawn of the look of one brain.

    Attributes:
        gm_mean: signal of cortical grey matter.
        csf_mean: signal of fluid.
        gm_drift: of grey matter.
        wm_drift: of white matter.
        texture: what varies at the millimetre scale, and by how much.
        folia: two fields that bend the stripes of the cerebellum.
        rim: strength of the periventricular rim.
        caps: strength of the caps at the horns.
        lobules: of the choroid plexus.
        plexus: its signal.
        patches: two fields of what lies on the brain's surface.
    """

    gm_mean: float
    csf_mean: float
    gm_drift: Field
    wm_drift: Field
    texture: tuple[np.float32, Field]
    folia: tuple[Field, Field]
    rim: float
    caps: float
    lobules: Field
    plexus: float
    patches: tuple[Field, Field]

    @classmethod
    def drawn(cls, contrast: Contrast, rng: np.random.Generator, *, age: float) -> _Look:
        """Draw it; the order of the draws is part of what a phantom is."""

        def field(spacing: float) -> Field:
            return Field.drawn(rng, WORK_SHAPE, spacing)

        old = float(np.clip((age - 30) / 40, 0, 1.3))
        return cls(
            gm_mean=contrast.gm * (1 + contrast.spread * rng.standard_normal()),
            csf_mean=contrast.csf * math.exp(0.3 * rng.standard_normal()),
            gm_drift=field(22.0),
            wm_drift=field(28.0),
            texture=(np.float32(contrast.texture), field(2.2)),
            folia=(field(12.0), field(5.0)),
            rim=rng.uniform(0.06, 0.14),
            caps=0.04 + rng.uniform(0.05, 0.22) * old,
            lobules=field(2.5),
            plexus=rng.uniform(0.8, 1.15),
            patches=(field(7.0), field(2.5)),
        )

    def signal(self, brain: Brain, some: slice) -> Array:
        """The signal of some planes of the brain."""
        gm_drift = 1 + np.float32(0.05) * self.gm_drift.planes(some)
        wm_drift = 1 + np.float32(0.025) * self.wm_drift.planes(some)
        size, texture = self.texture
        # Only the cerebral cortex is that bright; cerebellar cortex and deep nuclei are closer to
        # WM.
        gm_signal = 1 + (self.gm_mean - 1) * (0.55 + 0.45 * brain.cerebrum)
        tissue = brain.gm * (gm_signal * gm_drift) + brain.wm * wm_drift
        tissue *= 1 - 0.09 * brain.gm * (1 - brain.cerebrum) * self._folia(some)
        tissue *= brain.tone * (1 + size * texture.planes(some)) * (1 + self._rim(brain))
        fluid = self.csf_mean + self._plexus(brain, some) + self._surface(brain, some)
        return np.asarray(tissue + brain.csf * fluid, dtype=np.float32)

    def _folia(self, some: slice) -> Array:
        """Cerebellar folia: fine stripes around the fourth ventricle's roof; 0 to 1."""
        x, y, z = coordinates()
        radius = np.sqrt((0.7 * x[some]) ** 2 + (y + 40) ** 2 + (z + 33) ** 2)
        broad, fine = self.folia
        phase = 2 * math.pi * radius / 3.7 + 1.5 * broad.planes(some) + 1.2 * fine.planes(some)
        return np.asarray(0.5 + 0.5 * np.sin(phase), dtype=np.float32)

    def _rim(self, brain: Brain) -> Array:
        """Relative extra signal of the periventricular rim and of the caps at the horns."""
        near = np.clip(brain.ventricle, 0, None)
        rim = self.rim * np.exp(-near / 1.3) + self.caps * brain.horns * np.exp(-near / 3.5)
        return np.asarray(rim * (brain.ventricle < 15), dtype=np.float32)

    def _plexus(self, brain: Brain, some: slice) -> Array:
        """Signal of the choroid plexus inside the ventricles."""
        presence = np.clip(brain.plexus * 2.6 - 0.9 + 0.6 * self.lobules.planes(some), 0, 1)
        return np.asarray(presence * (brain.ventricle < 0) * self.plexus, dtype=np.float32)

    def _surface(self, brain: Brain, some: slice) -> Array:
        """Signal of dura, vessels and partial volume in the fluid at the brain's surface."""
        broad, fine = self.patches
        patches = broad.planes(some) + 0.8 * fine.planes(some)
        shell = np.exp(-np.abs(brain.depth) / 2.5)
        return np.asarray(np.clip(patches - 1.0, 0, 1.6) * 0.45 * shell, dtype=np.float32)
