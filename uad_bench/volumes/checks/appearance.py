"""What an image shows, measured without registration: enough to doubt it, never to judge it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uad_bench.volumes.grid import Affine, FloatArray, mirrored

Mask = NDArray[np.bool_]

FLIPPED_CONTRAST = 0.4
"""A mirrored lesion at least this bright, and twice as bright as unmirrored, is flipped. Real
masks here: 0.57 to 1.78 as they are, at most 0.35 and a third of that when mirrored."""

_COARSE_MM = 2.0
_RIM_MM, _DEEP_MM = (4.0, 10.0), (18.0, 30.0)
_SHELL_MM = 4.0


def spacing(affine: Affine) -> tuple[float, float, float]:
    """Return the voxel size along the array's axes in mm."""
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
    return float(x), float(y), float(z)


def skewness(values: FloatArray) -> float:
    """Return Kelley's skewness, ``(p90 + p10 - 2 p50) / (p90 - p10)``, in [-1, 1].

    It knows no unit, so that it compares scanners: negative where a dark tail (the CSF of a FLAIR)
    is longer, positive where a bright one (the CSF of a T2) is. Measured inside the brain: real
    FLAIR -0.61 to -0.22 (0.03 with a large tumour), simulated T2 0.30 to 0.51.
    """
    low, middle, high = (float(p) for p in np.percentile(values, (10, 50, 90)))
    return (high + low - 2 * middle) / (high - low) if high > low else 0.0


def deep_to_rim(image: FloatArray, brain: Mask, without: Mask, affine: Affine) -> float | None:
    """Return how bright the deep brain is against its rim: a ratio of two medians.

    The rim lies 4 to 10 mm below the brain's surface, mostly grey matter; the deep part 18 to
    30 mm, mostly white. Dark fluid, less than half of the upper quartile, is left out. Measured:
    real FLAIR 0.93 to 1.03 (1.14 with a large tumour inside), a real T1 1.25; simulated on 20
    anatomies, FLAIR 0.94 to 0.98, T1 1.26 to 1.37, T2 0.63 to 0.93.

    Args:
        image: ``[X, Y, Z]``.
        brain: bool ``[X, Y, Z]``.
        without: bool ``[X, Y, Z]``, lesions, which are left out.
        affine: voxel to world in mm.

    Returns:
        ``None`` where there is no such depth, or a rim that is not above 0.
    """
    from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt

    sizes = np.array(spacing(affine))
    steps = np.maximum(np.rint(_COARSE_MM / sizes), 1).astype(int)
    coarse = tuple(slice(None, None, int(step)) for step in steps)
    whole = np.pad(binary_fill_holes(binary_closing(np.pad(brain[coarse], 2))), 1)
    depth = distance_transform_edt(whole, sampling=sizes * steps)[3:-3, 3:-3, 3:-3]
    values, tissue = image[coarse], brain[coarse] & ~without[coarse]
    if tissue.any():
        tissue &= values > np.percentile(values[tissue], 75) / 2
    rim, deep = (
        values[tissue & (depth > low) & (depth < high)] for low, high in (_RIM_MM, _DEEP_MM)
    )
    if min(rim.size, deep.size) < 100 or np.median(rim) <= 0:
        return None
    return float(np.median(deep) / np.median(rim))


def lesion_contrasts(
    image: FloatArray, lesion: Mask, inside: Mask, affine: Affine
) -> tuple[float | None, float | None]:
    """Return how much brighter a lesion is than the 4 mm around it, in deviations of the image.

    Args:
        image: ``[X, Y, Z]``.
        lesion: bool ``[X, Y, Z]``.
        inside: bool ``[X, Y, Z]``, the brain or head; nothing outside it counts.
        affine: voxel to world in mm.

    Returns:
        That of the lesion, and that of the same lesion with left and right exchanged; ``None``
        where no lesion is inside, or nothing around it, or all values are one.
    """
    values = image.T[inside.T]  # NIfTI keeps x nearest, which is read in its order
    deviation = float(values.std()) if values.size else 0.0
    reach = np.floor(_SHELL_MM / np.array(spacing(affine))).astype(int)
    own, other = (
        _excess(image, mask, inside, reach) for mask in (lesion, mirrored(lesion, affine))
    )
    if not deviation:
        return None, None
    return None if own is None else own / deviation, None if other is None else other / deviation


def _excess(
    image: FloatArray, lesion: Mask, inside: Mask, reach: NDArray[np.int64]
) -> float | None:
    """How much brighter a lesion is than what is within so many voxels along each axis."""
    if not lesion.any():
        return None
    box = tuple(
        slice(max(first - int(steps), 0), last + int(steps) + 1)
        for (first, last), steps in zip(_ends(lesion), reach, strict=True)
    )
    part, within = lesion[box], inside[box]
    around = part
    for axis, steps in enumerate(reach):  # a box of ones, one axis after the other
        around = _widened(around, axis, int(steps))
    values, marked, shell = image[box].T, (part & within).T, (around & within & ~part).T
    if not (marked.any() and shell.any()):
        return None
    return float(values[marked].mean() - values[shell].mean())


def _ends(mask: Mask) -> list[tuple[int, int]]:
    """Along each axis, the first and the last place at which a mask, which has some, has any."""
    ends, part = [(0, 0)] * mask.ndim, mask
    for axis in np.argsort(np.abs(mask.strides))[::-1].tolist():  # the nearest in memory last
        at = np.flatnonzero(part.any(axis=tuple({*range(mask.ndim)} - {axis})))
        ends[axis] = int(at[0]), int(at[-1])
        part = part[(slice(None),) * axis + (slice(at[0], at[-1] + 1),)]
    return ends


def _widened(mask: Mask, axis: int, steps: int) -> Mask:
    """A mask and what is within so many voxels of it along an axis."""
    wide, reached = mask, 0
    while reached < min(steps, mask.shape[axis] - 1):
        step = min(reached + 1, steps - reached, mask.shape[axis] - 1)  # leaves no gap
        source, wide = np.moveaxis(wide, axis, 0), wide.copy(order="K")
        target = np.moveaxis(wide, axis, 0)
        target[step:] |= source[:-step]
        target[:-step] |= source[step:]
        reached += step
    return wide


def seems_flipped(own: float | None, contrast: float | None) -> bool:
    """Whether left and right of a lesion mask seem exchanged against its image.

    Args:
        own: contrast of the lesion as it is, ``None`` where there is none.
        contrast: the same of the mirrored mask.
    """
    return contrast is not None and contrast >= max(FLIPPED_CONTRAST, 2 * (own or 0.0))
