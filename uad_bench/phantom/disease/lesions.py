"""What a lesion is: soft layers painted over the healthy signal, and the masks raters draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.phantom.brain.anatomy import WORK_SHAPE
from uad_bench.phantom.brain.fields import Array, smooth_field


@dataclass(frozen=True, slots=True)
class Layer:
    """One kind of abnormal tissue on the working grid.

    Attributes:
        cover: float32 ``[X, Y, Z]`` in [0, 1]: fraction of the voxel that it replaces.
        signal: float32 ``[X, Y, Z]`` or a number: its FLAIR signal, white matter is 1.
        label: the value raters give it.
    """

    cover: Array
    signal: Array | float
    label: int


def paint(healthy: Array, layers: tuple[Layer, ...]) -> Array:
    """Replace healthy signal by the layers, in order."""
    signal = healthy
    for layer in layers:
        signal = signal + layer.cover * (layer.signal - signal)
    return np.asarray(signal, dtype=np.float32)


def sigmoid(values: Array) -> Array:
    """Logistic function, safe for large values."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), dtype=np.float32)


def random_texture(rng: np.random.Generator, size: float, spacing: float = 3.0) -> Array:
    """A factor around 1 with relative standard deviation ``size``."""
    return np.asarray(1 + size * smooth_field(rng, WORK_SHAPE, spacing), dtype=np.float32)


def cut_for_volume(score: Array, allowed: NDArray[np.bool_], volume_ml: float) -> float:
    """The score that ``volume_ml`` of the allowed voxels (1 mm) reach."""
    values = score[allowed]
    count = min(max(int(volume_ml * 1000), 1), max(values.size - 1, 1))
    if values.size == 0:
        return float("inf")
    return float(np.partition(values, values.size - count)[values.size - count])


def rate(
    covers: tuple[tuple[Array, int], ...],
    inside: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    wobble: float = 0.1,
    level: float = 0.5,
    smallest: int = 3,
) -> NDArray[np.uint8]:
    """A rater's mask on the output grid.

    The rater outlines where abnormal tissue fills about half of a voxel, a little more here and
    a little less there, and passes over the tiniest spots.

    Args:
        covers: projected cover and label of every layer, in painting order.
        inside: the brain.
        rng: source of the rater's inaccuracy.
        wobble: standard deviation of the level at which the outline is drawn.
        level: its mean.
        smallest: fewest voxels of a lesion that the rater marks.

    Returns:
        uint8 of the covers' shape.
    """
    line = level + wobble * smooth_field(rng, inside.shape, 4.0)
    mask = np.zeros(inside.shape, dtype=np.uint8)
    for cover, label in covers:
        mask[(cover > line) & (cover > 0.15) & inside] = label
    drawn = mask[bounding_box(mask > 0)]
    found, _ = ndimage.label(drawn)
    sizes = np.bincount(found.ravel())
    drawn[(sizes < smallest)[found]] = 0
    return mask


def bounding_box(marked: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The part of an array outside of which nothing is marked."""
    box: list[slice] = []
    for axis in range(marked.ndim):
        at = np.flatnonzero(marked[tuple(box)].any(axis=tuple({0, 1, 2} - {axis})))
        box.append(slice(at[0], at[-1] + 1) if at.size else slice(0))
    return tuple(box)
