"""Distances between the surfaces of two masks: Hausdorff and surface Dice, in 3D and per slice.

The surface of a mask is the set of its voxels with a face neighbour outside the mask; the
outside of the array counts as outside. Distances run between voxel centres of the two surfaces,
never from the inside of a mask: a solid ball and its outer shell are at distance zero or nearly
so. These are the definitions of MONAI's ``compute_hausdorff_distance`` and
``compute_surface_dice``; full-set implementations, such as SimpleITK's filter, give larger
Hausdorff distances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.masks.surfaces import nearest_distances

Mask = NDArray[np.bool_]
Spacing = tuple[float, ...]

TOLERANCE_MM = 2.0
"""How far apart two surfaces may lie and still agree, for the surface Dice.

It is the largest step between neighbouring voxels of the default grid (2 x 1.5 x 1.5 mm), so that
an outline that is one voxel off counts as right.
"""

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class SurfaceDistance:
    """How far two masks' surfaces lie apart.

    Attributes:
        hd: Hausdorff distance, the largest of all nearest distances in both directions.
        hd95: the larger of the two directions' 95th percentiles.
        dice: the share of both surfaces that lies within the tolerance of the other one.
        missing: which mask was empty, so that both distances are the penalty and ``dice`` is 0;
            ``None`` if neither.
    """

    hd: float
    hd95: float
    dice: float
    missing: Literal["prediction", "lesion"] | None = None


def surface_distance(
    prediction: Mask,
    lesion: Mask,
    spacing: Spacing,
    penalty: float,
    tolerance: float = TOLERANCE_MM,
) -> SurfaceDistance | None:
    """Hausdorff distance, HD95 and surface Dice of two masks, with a rule for empty ones.

    With ``d(a, B)`` the distance from surface voxel a to the nearest one of B,
    ``HD = max(max_a d(a, B), max_b d(b, A))`` and ``HD95 = max(p95_a d(a, B), p95_b d(b, A))``,
    percentiles interpolated linearly. With ``|A|`` the number of surface voxels of a mask, the
    surface Dice is ``(|a: d(a, B) <= tolerance| + |b: d(b, A) <= tolerance|) / (|A| + |B|)``
    (Nikolov et al. 2018, arXiv:1809.04430, with voxels in place of surface elements).

    Args:
        prediction: bool ``[H, W]`` or ``[Z, H, W]``.
        lesion: bool mask of the same shape.
        spacing: voxel size along each axis.
        penalty: the distance given where exactly one mask is empty.
        tolerance: distance in the unit of ``spacing`` at which surfaces still agree.

    Returns:
        The distances in the unit of ``spacing``; ``None`` where both masks are empty, for then
        the distance is undefined.
    """
    forth, back = nearest_distances(prediction, lesion, spacing)
    if not len(forth):
        return SurfaceDistance(penalty, penalty, 0.0, "prediction") if len(back) else None
    if not len(back):
        return SurfaceDistance(penalty, penalty, 0.0, "lesion")
    both = np.concatenate([forth, back])
    return SurfaceDistance(
        hd=float(max(forth.max(), back.max())),
        hd95=float(max(np.percentile(forth, 95), np.percentile(back, 95))),
        dice=float((both <= tolerance + _ROUNDING).mean()),
    )


def slice_distances(prediction: Mask, lesion: Mask) -> NDArray[np.float64]:
    """Hausdorff distance of each axial slice on its own, in pixels.

    Args:
        prediction: bool ``[N, H, W]``.
        lesion: bool ``[N, H, W]``.

    Returns:
        float64 ``[N]``: NaN where both masks of a slice are empty, infinite where one is.
    """
    distances = np.full(len(prediction), np.nan)
    for index, (ours, theirs) in enumerate(zip(prediction, lesion, strict=True)):
        both = np.concatenate(nearest_distances(ours, theirs, (1.0, 1.0)))
        if len(both):
            distances[index] = both.max()
    return distances


def box_diagonal(mask: Mask, spacing: Spacing) -> float:
    """The largest distance within the bounding box of ``mask``, between voxel centres.

    No two voxels of the mask lie further apart, so it bounds every distance between masks inside
    it. Of an empty mask the whole array is taken.
    """
    extent = []
    for axis, size in enumerate(spacing):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask.any(axis=others))
        steps = found[-1] - found[0] if len(found) else mask.shape[axis] - 1
        extent.append(float(steps) * size)
    return float(np.linalg.norm(extent))
