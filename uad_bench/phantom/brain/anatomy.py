"""Anatomies: tissue maps in MNI152 space, and what the simulation needs to know of places."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.phantom.brain.blur import blurred
from uad_bench.phantom.brain.distance import distance_to
from uad_bench.phantom.brain.fields import Array, Shape, upsample
from uad_bench.volumes.files.mni152 import brain_of, read_mni152

WORK_SHAPE: Final[Shape] = (157, 197, 165)
"""Working grid: 1 mm, MNI152 axes, just larger than a brain."""
WORK_ORIGIN: Final[tuple[int, int, int]] = (-78, -115, -77)
"""World coordinates in mm of the working grid's first voxel."""
FAR: Final = 40.0
"""Distances in mm are cut here."""

_FELT: Final = 1e-9
"""What adds less to a factor of 1 leaves it as it is."""

MAPS: Final = (
    "csf", "gm", "wm", "tone", "ventricle", "cortex", "cerebrum", "depth", "plexus", "horns"
)  # fmt: skip
"""Order of the maps of an anatomy along its last axis."""

# Places that differ from their tissue on FLAIR: MNI centre (|x|, y, z) and radii in mm, and the
# factor on the signal at the centre. Iron darkens pallidum, red nucleus and dentate; tightly
# packed callosal fibres are darker, the corticospinal tract and the optic radiation brighter.
_FIBRES: Final = (
    ((0, 27, 6), (14, 7, 9), 0.90),
    ((0, -3, 25), (13, 28, 6), 0.90),
    ((0, -39, 13), (14, 7, 9), 0.90),
    ((26, -22, 14), (5, 9, 20), 1.07),
    ((31, -58, 10), (10, 24, 12), 1.05),
    ((24, -35, 32), (12, 24, 12), 1.04),
    ((22, 40, 5), (16, 16, 18), 0.96),
    ((0, -28, -34), (16, 12, 18), 0.98),
)
_NUCLEI: Final = (
    ((19, -4, 0), (6, 9, 6), 0.76),
    ((27, 3, 1), (5, 13, 10), 0.95),
    ((12, 14, 9), (6, 12, 10), 0.97),
    ((12, -18, 8), (9, 13, 9), 0.92),
    ((7, -20, -9), (6, 5, 5), 0.80),
    ((16, -58, -33), (7, 7, 5), 0.85),
    ((27, -16, -18), (9, 18, 9), 1.07),
    ((38, 4, 0), (6, 18, 14), 1.05),
    ((0, 18, 30), (9, 24, 14), 1.04),
)
_PLEXUS: Final = (((24, -41, 6), (6, 9, 8), 1.0), ((10, -20, 17), (8, 14, 3), 0.7))
_HORNS: Final = (((18, 34, 8), (12, 9, 14), 1.0), ((28, -58, 12), (12, 14, 14), 1.0))


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One brain on the working grid.

    Attributes:
        name: where it came from.
        maps: float32 ``[X, Y, Z, len(MAPS)]``: probabilities of CSF, GM and WM; relative FLAIR
            ``tone``; signed distances in mm to the lateral ventricles (``ventricle``, negative
            inside), to cortical grey matter (``cortex``) and from the brain's surface
            (``depth``, negative outside); weights of the ``cerebrum``, of the choroid
            ``plexus`` and of the places of the ventricular ``horns`` where caps form.
        soft: whether the maps are population averages that individual detail must sharpen.
    """

    name: str
    maps: Array
    soft: bool


def coordinates() -> tuple[Array, Array, Array]:
    """World coordinates in mm of the working grid, as three broadcastable arrays."""
    axes = [
        (np.arange(n, dtype=np.float32) + o) for n, o in zip(WORK_SHAPE, WORK_ORIGIN, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return x, y, z


def work_affine() -> NDArray[np.float64]:
    """Voxel to world matrix of the working grid."""
    affine = np.eye(4)
    affine[:3, 3] = WORK_ORIGIN
    return affine


def signed_distance(mask: NDArray[np.bool_]) -> Array:
    """Distance in mm to the mask's surface on the working grid, negative inside, cut at ``FAR``.

    Computed on every second voxel of the smoothed mask and interpolated: eight times faster, and
    the surface is smooth to a fraction of a voxel.
    """
    smooth = blurred(mask.astype(np.float32), 0.7)[::2, ::2, ::2]
    inside = smooth > 0.5
    outwards, inwards = distance_to(inside), distance_to(~inside)
    # A voxel centre lies half a voxel from the surface between it and its neighbour.
    signed = 2 * (outwards - inwards + np.where(inside, 0.5, -0.5))
    return np.clip(upsample(signed.astype(np.float32), WORK_SHAPE, 2), -FAR, FAR)


Place = tuple[tuple[float, ...], tuple[float, ...], float]
"""MNI centre (|x|, y, z) and radii in mm, and a factor or weight."""


def _bumps(places: Iterable[Place]) -> Iterator[tuple[tuple[slice, ...], Array]]:
    """Yield ``1 + (factor - 1) * exp(-distance^2)`` of places, and the box where it is not 1."""
    x, y, z = coordinates()
    for centre, radii, factor in places:
        along = [
            np.exp(-(((at - middle) / radius) ** 2))
            for at, middle, radius in zip((np.abs(x), y, z), centre, radii, strict=True)
        ]
        felt = [np.flatnonzero(part > _FELT) for part in along]
        box = tuple(slice(at[0], at[-1] + 1) for at in felt)
        part_x, part_y, part_z = along
        near = part_x[box[0]], part_y[:, box[1]], part_z[:, :, box[2]]
        yield box, np.asarray(1 + (factor - 1) * math.prod(near), dtype=np.float32)


@functools.lru_cache(maxsize=8)
def _blobs(places: tuple[Place, ...]) -> Array:
    """Product over places of ``1 + (factor - 1) * exp(-distance^2)``, on both sides."""
    field = np.ones(WORK_SHAPE, dtype=np.float32)
    for box, bump in _bumps(places):
        field[box] *= bump
    return field


@functools.lru_cache(maxsize=8)
def _weight(places: tuple[Place, ...]) -> Array:
    """Sum over places of ``weight * exp(-distance^2)``, at most 1."""
    rest = np.ones(WORK_SHAPE, dtype=np.float32)
    for box, bump in _bumps((centre, radii, 1 + weight) for centre, radii, weight in places):
        rest[box] *= 1 - (bump - 1).clip(0, 1)
    return 1 - rest


def build(
    name: str,
    *,
    csf: Array,
    gm: Array,
    wm: Array,
    depth: Array,
    ventricles: NDArray[np.bool_],
    cerebrum: NDArray[np.bool_],
    nuclei_tone: Array,
    soft: bool,
) -> Anatomy:
    """Assemble an anatomy: everything that follows from tissues and a few masks."""
    ventricle = signed_distance(ventricles)
    cortical = (gm > 0.5) & ((depth < 18) | (ventricle > 25)) & (ventricle > 4)
    cortex = signed_distance(cortical)
    fibres = _blobs(_FIBRES)
    tone = blurred(nuclei_tone, 0.7) * (1 + (fibres - 1) * wm)
    found = (
        csf, gm, wm, tone, ventricle, cortex,
        blurred(cerebrum.astype(np.float32), 1.0),
        depth, _weight(_PLEXUS), _weight(_HORNS),
    )  # fmt: skip
    maps = np.empty((*WORK_SHAPE, len(MAPS)), dtype=np.float32)
    for plane in range(WORK_SHAPE[0]):  # what is read and written stays in the cache
        maps[plane] = np.stack([one[plane] for one in found], axis=-1)
    return Anatomy(name=name, maps=maps, soft=soft)


def _on_work_grid(data: Array, affine: NDArray[np.float64]) -> Array:
    """Cut or pad a 1 mm map of the template to the working grid."""
    origin = np.rint(affine[:3, 3]).astype(int)
    out = np.zeros(WORK_SHAPE, dtype=np.float32)
    source, target = [], []
    for axis in range(3):
        start = WORK_ORIGIN[axis] - origin[axis]
        low, high = max(start, 0), min(start + WORK_SHAPE[axis], data.shape[axis])
        source.append(slice(low, high))
        target.append(slice(low - start, high - start))
    out[tuple(target)] = data[tuple(source)]
    return out


def buried_sulci(wm: Array) -> Array:
    """Where two banks of cortex touch: a population average has lost the fluid between them.

    Cortex is about 2.5 mm thick, so grey matter further than that from white matter is two banks;
    the sulcus runs where the distance to white matter has a ridge.

    Returns:
        float32 in [0, 1], 1 on the ridge.
    """
    distance = distance_to(wm >= 0.5).astype(np.float32)
    smooth = blurred(distance, 0.6)
    ridge = smooth - blurred(distance, 1.8)
    deep = np.clip((smooth - 1.6) / 1.2, 0, 1) * (smooth < 9)
    return np.asarray(np.clip((ridge - 0.2) / 0.35, 0, 1) * deep, dtype=np.float32)


@functools.lru_cache(maxsize=1)
def template_anatomy() -> Anatomy:
    """The MNI152 2009a tissue maps that the nilearn wheel carries (Fonov et al. 2011)."""
    t1, affine = read_mni152("t1")
    gm, wm = (_on_work_grid(*found) for found in (read_mni152("gm"), read_mni152("wm")))
    brain = (_on_work_grid(brain_of(t1).astype(np.float32), affine) > 0.5) | (gm + wm > 0.5)
    gm, wm = np.clip(gm, 0, 1) * brain, np.clip(wm, 0, 1) * brain
    x, y, z = coordinates()
    cerebellar = (z < -12 - 0.35 * (y + 60).clip(-40, 25)) & (y < -35)
    stem = (np.abs(x) < 20) & (y < -5) & (z < -10)
    nuclei = (x / 35) ** 2 + ((y + 6) / 34) ** 2 + ((z - 2) / 23) ** 2 < 1
    cortical = blurred((~(cerebellar | stem | nuclei)).astype(np.float32), 1.0)
    gm = gm * (1 - 0.5 * buried_sulci(wm) * cortical)
    csf = np.clip(1 - gm - wm, 0, 1)
    depth = -signed_distance(brain)
    box = (np.abs(x) < 40) & (y > -62) & (y < 34) & (z > -12) & (z < 34)
    candidates = (csf > 0.4) & (depth > 18) & box & (np.abs(x) > 1)
    candidates &= ~((y < -26) & (np.abs(x) < 14) & (z < 20))
    labels, _ = ndimage.label(candidates)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    ventricles = np.isin(labels, np.argsort(sizes)[-2:])
    return build(
        "MNI152",
        csf=csf, gm=gm, wm=wm, depth=depth, ventricles=ventricles,
        cerebrum=brain & ~cerebellar & ~stem, nuclei_tone=_blobs(_NUCLEI), soft=True,
    )  # fmt: skip
