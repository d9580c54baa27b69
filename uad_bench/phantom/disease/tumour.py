"""High-grade glioma: a core with an enhancing rim, oedema along the white matter, mass effect."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from uad_bench.phantom.brain.anatomy import MAPS, WORK_ORIGIN, WORK_SHAPE, Anatomy, coordinates
from uad_bench.phantom.brain.blur import blurred
from uad_bench.phantom.brain.fields import smooth_field
from uad_bench.phantom.brain.subject import Brain, Mass
from uad_bench.phantom.disease.lesions import (
    Layer,
    bounding_box,
    cut_for_volume,
    random_texture,
    sigmoid,
)

CORE, OEDEMA, RIM = 1, 2, 4
"""Labels of the BraTS masks."""


@dataclass(frozen=True, slots=True)
class Tumour:
    """One tumour.

    Attributes:
        centre: MNI152 coordinates in mm.
        radius: mean radius of the core with its rim, in mm.
        oedema_ml: volume of the oedema.
        push: displacement of the tissue at its border, in mm.
    """

    centre: tuple[float, float, float]
    radius: float
    oedema_ml: float
    push: float

    @property
    def mass(self) -> Mass:
        """What displaces the tissue around it."""
        return Mass(self.centre, self.push, reach=22.0 + self.radius)


def plan_tumour(anatomy: Anatomy, rng: np.random.Generator) -> Tumour:
    """Size and place: supratentorial white matter, off the midline, 20 to 150 ml in all."""
    total = float(np.clip(70 * math.exp(0.55 * rng.standard_normal()), 20, 160))
    core = total * rng.uniform(0.18, 0.6)
    maps = anatomy.maps[::2, ::2, ::2]
    wm, cortex = maps[..., MAPS.index("wm")], maps[..., MAPS.index("cortex")]
    cerebrum, ventricle = maps[..., MAPS.index("cerebrum")], maps[..., MAPS.index("ventricle")]
    allowed = (wm > 0.6) & (cerebrum > 0.9) & (ventricle > 8) & (cortex < 14)
    places = np.argwhere(allowed) * 2 + np.array(WORK_ORIGIN)
    places = places[np.abs(places[:, 0]) > 16]
    x, y, z = places[rng.integers(len(places))]
    radius = (core * 1000 * 3 / (4 * math.pi)) ** (1 / 3)
    return Tumour(
        centre=(float(x), float(y), float(z)),
        radius=radius,
        oedema_ml=total - core,
        push=float(min(radius * rng.uniform(0.2, 0.4), 9.0)),
    )


def tumour_layers(brain: Brain, tumour: Tumour, seed: np.random.SeedSequence) -> tuple[Layer, ...]:
    """Oedema, core and rim of a tumour, in painting order.

    Oedema spreads along white matter in fingers that spare the cortex, stays on its side and is
    connected to the core. The core is necrotic: dark, grey or bright on FLAIR; the rim around it
    is irregular and of middle brightness.
    """
    rng = np.random.default_rng(seed)
    x, y, z = coordinates()
    cx, cy, cz = tumour.centre
    stretch = np.exp(0.15 * rng.standard_normal(3, dtype=np.float32))
    rho = np.sqrt(
        ((x - cx) * stretch[0]) ** 2 + ((y - cy) * stretch[1]) ** 2 + ((z - cz) * stretch[2]) ** 2
    )
    lumps = smooth_field(rng, WORK_SHAPE, 13.0)
    fine = smooth_field(rng, WORK_SHAPE, 5.0)
    edge = tumour.radius - rho * (1 + 0.13 * lumps + 0.05 * fine)
    held = (brain.depth > 1) & ((x * np.sign(cx)) > -4)
    body = np.asarray(sigmoid(edge / 0.6) * held, dtype=np.float32)

    tissue = blurred(brain.wm, 1.0)
    score = edge / 9.0 + 0.5 * lumps + 0.25 * fine + 2.4 * tissue
    score -= 2.5 * ((x * np.sign(cx)) < -2) + 4.0 * (1 - brain.cerebrum)
    solid = (brain.wm + 0.5 * brain.gm > 0.5) & (brain.csf < 0.4)
    allowed = solid & (edge < 0) & (edge > -60)
    cut = cut_for_volume(score, allowed, tumour.oedema_ml)
    reached = (score > cut) & (allowed | (edge >= 0))
    parts, box = np.zeros(WORK_SHAPE, dtype=np.int32), bounding_box(reached)
    ndimage.label(reached[box], output=parts[box])
    main = np.bincount(parts[(edge > -4) & reached]).argmax() if reached.any() else 0
    joined = blurred((parts == main).astype(np.float32), 0.8)
    wet = sigmoid((score - cut) / 0.18) * np.clip(2.5 * joined, 0, 1)
    oedema = np.asarray(wet * np.clip(brain.wm + 0.55 * brain.gm, 0, 1), dtype=np.float32)

    bright = rng.normal(1.9, 0.2)
    fading = np.clip(1 + 0.005 * np.clip(edge, -30, 0), 0.85, 1)
    thickness = 3.2 + 1.4 * smooth_field(rng, WORK_SHAPE, 7.0)
    necrosis = np.asarray(sigmoid((edge - thickness) / 0.8) * held, dtype=np.float32)
    kind = rng.choice(3, p=(0.2, 0.45, 0.35))
    necrotic = (rng.uniform(0.15, 0.5), rng.uniform(0.9, 1.3), rng.uniform(1.3, 1.75))[kind]
    return (
        Layer(oedema, bright * fading * random_texture(rng, 0.06, 5.0), OEDEMA),
        Layer(body, rng.normal(1.65, 0.15) * random_texture(rng, 0.09, 4.0), RIM),
        Layer(necrosis, necrotic * random_texture(rng, 0.12, 4.5), CORE),
    )
