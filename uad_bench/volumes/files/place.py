"""Whether a mask lies where its image does: on its voxels, and its lesions in the brain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from uad_bench.errors import ScanError
from uad_bench.volumes.files.nifti import MAX_SHIFT, Volume, corner_distance, corner_distance_mm
from uad_bench.volumes.grid import Affine, mirrored

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]

MAX_OUTSIDE, LOST = 0.05, 0.5
"""Shares of a lesion outside the brain: of a right mask at most, and from where it is refused. Real
masks here: at most 0.002."""

_SHOWN_MM = 0.01
"""A flag's value is suggested in this step."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a mask's voxels lie on those of its image.

    Attributes:
        axes: nibabel orientation ``[3, 2]`` that brings the mask's array into the image's axes.
        voxels: how far the headers place a corner apart at most along an axis, in the image's
            voxels.
        mm: how far they place a corner apart at most, in mm.
    """

    axes: NDArray[np.float64]
    voxels: float
    mm: float

    @property
    def same(self) -> bool:
        """Whether the headers place every voxel alike, to a tenth of one."""
        return self.voxels <= MAX_SHIFT

    def apply(self, labels: Labels) -> Labels:
        """Return the mask's array in the image's order of axes."""
        return np.asarray(apply_orientation(labels, self.axes), dtype=labels.dtype)


def align(mask: Volume, image: Volume) -> Alignment | None:
    """Say how a mask with an image's voxels lies on it; ``None`` where its grid is another one.

    A mask has the image's voxels where its shape is the image's, as it is stored or with its axes
    in the image's order. Of all orders and directions of axes, the one that lies nearest counts.

    Args:
        mask: the mask.
        image: the image that it belongs to.
    """
    found = min(_candidates(mask, image), key=lambda one: one.mm, default=None)
    if found is None or found.same or mask.data.shape == image.data.shape:
        return found
    nearest = ornt_transform(io_orientation(mask.affine), io_orientation(image.affine))
    turned = tuple(mask.data.shape[int(axis)] for axis in np.argsort(nearest[:, 0]))
    return found if turned == image.data.shape else None


def refuse_displaced(mask: Volume, image: Volume, found: Alignment, allowed_mm: float) -> None:
    """Refuse a mask with the image's voxels whose header places them elsewhere.

    Args:
        mask: the mask.
        image: the image that it belongs to.
        found: how the two lie.
        allowed_mm: up to here the header is not believed, and voxel lies on voxel.

    Raises:
        ScanError: with the distance in mm.
    """
    if found.same or found.mm <= allowed_mm:
        return
    suggested = np.ceil(found.mm / _SHOWN_MM - 1e-6) * _SHOWN_MM
    raise ScanError(
        f"{mask.path}: it has the shape of {image.path.name}, but its header places it up to "
        f"{found.mm:.3g} mm away; mend its header or resample it to the FLAIR; where the header "
        f"is wrong and every voxel belongs to the FLAIR's, --mask-shift {suggested:.6g} says so"
    )


def share_outside(lesion: Mask, inside: Mask) -> float:
    """Return the share of a lesion, which must not be empty, that lies outside the brain."""
    return 1.0 - np.count_nonzero(inside & lesion) / int(np.count_nonzero(lesion))


def misplaced(lesion: Mask, inside: Mask, affine: Affine) -> str | None:
    """Return why a lesion cannot be that of an image, in one line; ``None`` where it can.

    A mask that was cut out or resampled with a wrong origin has another grid, so that its header
    alone does not give it away. That most of its lesion lies outside the brain does. A lesion that
    fills most of the brain is another image's: a brain mask, or a FLAIR read as one.

    Args:
        lesion: bool ``[X, Y, Z]``.
        inside: bool ``[X, Y, Z]``, the brain, or the head where it is not known.
        affine: voxel to world.
    """
    if not lesion.any():
        return None
    if (outside := share_outside(lesion, inside)) <= LOST:
        share = np.count_nonzero(inside & lesion) / int(np.count_nonzero(inside))
        return f"the lesion fills {share:.0%} of the brain: a brain mask?" if share > LOST else None
    if share_outside(mirrored(lesion, affine), inside) < MAX_OUTSIDE:
        advice = "left and right of the mask are exchanged; write it with the FLAIR's affine"
    else:
        advice = "check the place of both"
    return f"{outside:.0%} of the lesion lies outside the brain: {advice}"


def _candidates(mask: Volume, image: Volume) -> Iterator[Alignment]:
    """Every order and direction of the mask's axes that gives the image's shape."""
    shape = mask.data.shape
    for order in permutations(range(3)):
        if tuple(shape[order.index(axis)] for axis in range(3)) != image.data.shape:
            continue
        for flips in product((1.0, -1.0), repeat=3):
            axes = np.array(list(zip(order, flips, strict=True)), dtype=np.float64)
            turned = mask.affine @ inv_ornt_aff(axes, shape)
            yield Alignment(
                axes,
                corner_distance(image.affine, turned, image.data.shape),
                corner_distance_mm(image.affine, turned, image.data.shape),
            )
