"""Vascular white matter lesions: caps and bands at the ventricles, spots in the deep white."""

from __future__ import annotations

import numpy as np

from uad_bench.phantom.brain.anatomy import WORK_ORIGIN, WORK_SHAPE, coordinates
from uad_bench.phantom.brain.fields import smooth_field
from uad_bench.phantom.brain.subject import Brain
from uad_bench.phantom.disease.lesions import Layer, cut_for_volume, random_texture, sigmoid


def vascular_layers(
    brain: Brain, seed: np.random.SeedSequence, *, volume_ml: float, infarct: bool
) -> tuple[Layer, ...]:
    """White matter hyperintensities of presumed vascular origin, and an old infarct.

    Two scores say how vulnerable each voxel is, near the ventricles and in the deep white
    matter; the most vulnerable voxels make up the volume asked for. Subcortical U-fibres are
    spared.

    Args:
        brain: the patient's brain.
        seed: the patient's disease.
        volume_ml: volume of the hyperintensities.
        infarct: add a cortical infarct, label 2 ("other pathology").
    """
    rng = np.random.default_rng(seed)
    fine, middle = smooth_field(rng, WORK_SHAPE, 3.5), smooth_field(rng, WORK_SHAPE, 8.0)
    broad = smooth_field(rng, WORK_SHAPE, 18.0)
    white = (brain.wm > 0.6) & (brain.cerebrum > 0.6)
    near = -np.clip(brain.ventricle, 0, None) / 3.0 + 0.7 * broad + 0.35 * middle + 0.2 * fine
    near += 2.2 * brain.horns
    deep_share = float(rng.uniform(0.15, 0.5))
    periventricular = white & (brain.ventricle < 20)
    cut = cut_for_volume(near, periventricular, volume_ml * (1 - deep_share))
    cover = sigmoid((near - cut) / 0.16) * (brain.ventricle < 26)

    deep = 0.9 * fine + 0.9 * middle + 0.5 * broad
    _, y, z = coordinates()
    deep = deep - ((y + 15) / 60) ** 2 - ((z - 28) / 30) ** 2
    region = white & (brain.ventricle > 4) & (brain.cortex > 3)
    cut = cut_for_volume(deep, region, volume_ml * deep_share)
    spots = sigmoid((deep - cut) / 0.14) * np.clip(brain.cortex - 2, 0, 1)
    cover = np.maximum(cover, spots) * brain.cerebrum * np.clip(brain.wm + 0.15 * brain.gm, 0, 1)
    gain = rng.normal(1.64, 0.09)
    layers = [Layer(np.asarray(cover, dtype=np.float32), gain * random_texture(rng, 0.05), 1)]
    if infarct:
        layers += _infarct(brain, rng)
    return tuple(layers)


def _infarct(brain: Brain, rng: np.random.Generator) -> list[Layer]:
    """A cortical infarct: a gliotic, bright border around a cavity as dark as CSF."""
    x, y, z = coordinates()
    cortical = np.argwhere((brain.gm[::3, ::3, ::3] > 0.7) & (brain.cerebrum[::3, ::3, ::3] > 0.9))
    cx, cy, cz = (float(3 * c + o) for c, o in zip(rng.choice(cortical), WORK_ORIGIN, strict=True))
    radius = rng.uniform(6, 14)
    distance = np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
    edge = radius - distance * (1 + 0.2 * smooth_field(rng, WORK_SHAPE, 9.0))
    solid = np.clip(brain.wm + brain.gm, 0, 1)
    gliosis = np.asarray(sigmoid(edge / 0.6) * solid, dtype=np.float32)
    cavity = np.asarray(sigmoid((edge - rng.uniform(2.5, 5)) / 0.6), dtype=np.float32)
    return [Layer(gliosis, float(rng.normal(1.45, 0.1)), 2), Layer(cavity, 0.15, 2)]
