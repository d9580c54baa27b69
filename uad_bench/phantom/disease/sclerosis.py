"""Multiple sclerosis: periventricular ovoids, juxtacortical and infratentorial spots, bands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from uad_bench.phantom.brain.anatomy import WORK_SHAPE
from uad_bench.phantom.brain.fields import Array, smooth_field
from uad_bench.phantom.brain.subject import Brain
from uad_bench.phantom.disease.lesions import Layer, cut_for_volume, random_texture, sigmoid

_SHARES: Final = (0.48, 0.2, 0.27, 0.05)  # periventricular, juxtacortical, deep, infratentorial
_MEDIAN_ML: Final = 0.07
_SPREAD: Final = 1.05
_MOST: Final = 400


@dataclass(frozen=True, slots=True)
class Plaque:
    """One ovoid lesion.

    Attributes:
        centre: voxel on the working grid.
        axis: unit vector of its long axis.
        radii: long and short half-axis in mm.
        signal: FLAIR signal, white matter is 1.
        onset: the time point at which it first shows, 0 from the start.
        growth: relative change of the radii per time point.
    """

    centre: tuple[int, int, int]
    axis: tuple[float, float, float]
    radii: tuple[float, float]
    signal: float
    onset: int
    growth: float


def load_ml(rng: np.random.Generator, bounds: tuple[float, float, float]) -> float:
    """A lesion load in ml: log-normal around ``bounds``' median, within its least and most."""
    median, least, most = bounds
    return float(np.clip(median * math.exp(1.15 * rng.standard_normal()), least, most))


def sclerosis_layers(
    brain: Brain, seed: np.random.SeedSequence, *, volume_ml: float, session: int = 0
) -> tuple[Layer, ...]:
    """The lesions of one patient at one time point.

    Args:
        brain: the patient's brain.
        seed: the patient's disease; the same at every time point.
        volume_ml: lesion load at the first time point.
        session: time points since then; a few lesions appear, grow or shrink.

    Returns:
        one layer of label 1.
    """
    rng = np.random.default_rng(seed)
    gain = rng.normal(1.57, 0.09)
    confluent = float(np.clip((volume_ml - 6) / 30, 0, 0.75))
    outline = smooth_field(rng, WORK_SHAPE, 3.0)
    cover = _band(brain, rng, outline, volume_ml * confluent * (1 + 0.03 * session))
    signal = np.full(WORK_SHAPE, gain, dtype=np.float32)
    for plaque in _plaques(brain, rng, volume_ml * (1 - confluent), gain):
        if plaque.onset <= session:
            _draw(cover, signal, plaque, outline, session)
    cover *= np.clip(brain.wm + 0.6 * brain.gm, 0, 1)
    return (Layer(cover, signal * random_texture(rng, 0.05), 1),)


def _band(brain: Brain, rng: np.random.Generator, outline: Array, volume_ml: float) -> Array:
    """Confluent tissue along the ventricles, thickest at the horns."""
    thickness = smooth_field(rng, WORK_SHAPE, 14.0)
    score = -np.clip(brain.ventricle, 0, None) / 3.5 + 0.9 * thickness + 0.35 * outline
    score += 1.6 * brain.horns
    if volume_ml < 0.5:
        return np.zeros(WORK_SHAPE, dtype=np.float32)
    allowed = (brain.wm > 0.6) & (brain.cerebrum > 0.5) & (brain.ventricle < 22)
    cut = cut_for_volume(score, allowed, volume_ml)
    reach = np.where(brain.ventricle < 26, brain.cerebrum, 0)
    return np.asarray(sigmoid((score - cut) / 0.13) * reach, dtype=np.float32)


def _plaques(brain: Brain, rng: np.random.Generator, volume_ml: float, gain: float) -> list[Plaque]:
    weights = _places(brain)
    plaques: list[Plaque] = []
    left = volume_ml
    while left > 0 and len(plaques) < _MOST:
        place = int(rng.choice(4, p=_SHARES))
        volume = min(_MEDIAN_ML * math.exp(_SPREAD * rng.standard_normal()), 2.5)
        volume = min(volume, max(1.5 * volume_ml / 4, 0.03))
        centre = _pick(rng, weights[place])
        ratio = rng.uniform(1.5, 2.6) if place == 0 else rng.uniform(1.0, 1.6)
        short = (volume * 1000 * 3 / (4 * math.pi * ratio)) ** (1 / 3)
        axis = _away_from_ventricle(brain, centre) if place == 0 else _random_axis(rng)
        plaques.append(
            Plaque(
                centre=centre,
                axis=axis,
                radii=(short * ratio, short),
                signal=gain * (1 + 0.08 * rng.standard_normal()) - 0.15 * (rng.random() < 0.2),
                onset=int(rng.integers(1, 5)) if rng.random() < 0.1 else 0,
                growth=float(0.04 * rng.standard_normal()),
            )
        )
        left -= volume
    return plaques


def _places(brain: Brain) -> tuple[NDArray[np.float64], ...]:
    """Cumulated weights of every second voxel for the four kinds of place."""
    view = slice(None, None, 2)
    wm, ventricle = brain.wm[view, view, view], brain.ventricle[view, view, view]
    cortex, cerebrum = brain.cortex[view, view, view], brain.cerebrum[view, view, view]
    white = (wm > 0.7) * cerebrum
    near = white * np.exp(-np.clip(ventricle - 3, 0, None) / 3.0) * (ventricle > 0)
    near = near * (0.5 + brain.horns[view, view, view])
    juxta = (wm > 0.45) * cerebrum * ((cortex > 0) & (cortex < 3)) * (ventricle > 15)
    deep = white * ((cortex > 4) & (ventricle > 5))
    below = (wm > 0.5) * (1 - cerebrum)
    return tuple(np.cumsum(w.ravel(), dtype=np.float64) for w in (near, juxta, deep, below))


def _pick(rng: np.random.Generator, cumulated: NDArray[np.float64]) -> tuple[int, int, int]:
    at = np.searchsorted(cumulated, rng.random() * cumulated[-1])
    half = tuple((n + 1) // 2 for n in WORK_SHAPE)
    i, j, k = np.unravel_index(min(int(at), cumulated.size - 1), half)
    return int(i) * 2, int(j) * 2, int(k) * 2


def _unit(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = vector / max(float(np.linalg.norm(vector)), 1e-6)
    return float(x), float(y), float(z)


def _random_axis(rng: np.random.Generator) -> tuple[float, float, float]:
    return _unit(rng.standard_normal(3))


def _away_from_ventricle(brain: Brain, centre: tuple[int, int, int]) -> tuple[float, float, float]:
    """The direction of the medullary veins, along which Dawson's fingers lie."""
    gradient = []
    for axis in range(3):
        ahead, behind = list(centre), list(centre)
        ahead[axis] = min(ahead[axis] + 2, WORK_SHAPE[axis] - 1)
        behind[axis] = max(behind[axis] - 2, 0)
        gradient.append(float(brain.ventricle[tuple(ahead)] - brain.ventricle[tuple(behind)]))
    return _unit(np.array(gradient) + 1e-3)


def _draw(cover: Array, signal: Array, plaque: Plaque, outline: Array, session: int) -> None:
    """Add one plaque to ``cover`` and ``signal``, in place, in the box around it."""
    age = session - plaque.onset
    scale = max(1 + plaque.growth * age, 0.5) * (0.75 if plaque.onset and age == 0 else 1.0)
    long, short = plaque.radii[0] * scale, plaque.radii[1] * scale
    half = math.ceil(1.4 * long) + 3
    box = tuple(
        slice(max(c - half, 0), min(c + half + 1, n))
        for c, n in zip(plaque.centre, WORK_SHAPE, strict=True)
    )
    x, y, z = (
        np.arange(s.start, s.stop, dtype=np.float32) - c
        for s, c in zip(box, plaque.centre, strict=True)
    )
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    along = x * plaque.axis[0] + y * plaque.axis[1] + z * plaque.axis[2]
    across = np.clip(x**2 + y**2 + z**2 - along**2, 0, None)
    rho = np.sqrt((along / long) ** 2 + across / short**2)
    edge = (1 - rho) * short + 0.45 * np.sqrt(short) * outline[box]
    here = sigmoid(edge / 0.38)
    stronger = here > cover[box]
    signal[box] = np.where(stronger, plaque.signal, signal[box])
    cover[box] = np.maximum(cover[box], here)
