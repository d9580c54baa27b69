"""A scan's own voxels: its masks as they were read, and maps of the template grid brought to them.

The evaluation grid decides part of every number: it enlarges a brain to the template's, and rounds
lesions to its voxels. On the scan's own voxels the truth is as it was drawn; only the map was made
on the grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from uad_bench.evaluation.scored import slices_with_brain
from uad_bench.volumes.grid import Affine, Grid
from uad_bench.volumes.steps.read import LoadedScan

Packed = Mapping[str, NDArray[Any]]
"""Masks as they are stored: eight voxels in a byte."""

PACKED = ("shape", "affine", "spacing", "brain", "lesion", "ignored")
"""The names of what is stored of each scan."""


@dataclass(frozen=True, slots=True, eq=False)
class NativeMasks:
    """The masks of a scan on its own voxels, its axes in the template grid's order.

    Attributes:
        brain: bool ``[Z, H, W]``.
        lesion: uint8 ``[Z, H, W]``: 0 healthy, 1 lesion, 2 ignored.
        affine: index (z, row, column) to MNI152 world coordinates in mm.
        spacing: voxel size (z, y, x) in mm of the scan's own world.
    """

    brain: NDArray[np.bool_]
    lesion: NDArray[np.uint8]
    affine: Affine
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, loaded: LoadedScan, to_mni152: Affine, grid: Grid) -> NativeMasks:
        """Take the masks of a scan in template space.

        Args:
            loaded: the scan.
            to_mni152: its own world to MNI152 world.
            grid: the template grid, for the order of the axes.
        """
        axes = ornt_transform(io_orientation(loaded.affine), io_orientation(grid.affine))
        brain = loaded.brain
        lesion = np.zeros(brain.shape, np.uint8) if loaded.lesion is None else loaded.lesion
        affine = loaded.affine @ inv_ornt_aff(axes, brain.shape)
        z, y, x = np.linalg.norm((np.linalg.inv(to_mni152) @ affine)[:3, :3], axis=0).tolist()
        return cls(
            np.asarray(apply_orientation(brain, axes), dtype=np.bool_),
            np.asarray(apply_orientation(lesion, axes), dtype=np.uint8),
            affine,
            (z, y, x),
        )

    @property
    def shown(self) -> NDArray[np.int64]:
        """The slices that show brain, by the rule of the template grid."""
        return slices_with_brain(self.brain, self.spacing)

    def pack(self) -> Packed:
        """Return the masks as they are stored."""
        return {
            "shape": np.array(self.brain.shape),
            "affine": self.affine,
            "spacing": np.array(self.spacing),
            "brain": np.packbits(self.brain),
            "lesion": np.packbits(self.lesion == 1),
            "ignored": np.packbits(self.lesion == 2),
        }

    @classmethod
    def unpack(cls, packed: Packed) -> NativeMasks:
        """Return stored masks; see :meth:`pack`."""
        shape = tuple(int(length) for length in packed["shape"])

        def mask(name: str) -> NDArray[np.uint8]:
            return np.unpackbits(packed[name], count=int(np.prod(shape))).reshape(shape)

        z, y, x = packed["spacing"].tolist()
        lesion = mask("lesion") + 2 * mask("ignored")
        return cls(mask("brain").astype(np.bool_), lesion, packed["affine"], (z, y, x))


def scores_on(
    native: NativeMasks, scores: NDArray[np.uint16], z: NDArray[np.int64], grid: Grid
) -> NDArray[np.uint16]:
    """Bring a map's scores to a scan's own voxels: uint16 ``[Z, H, W]``.

    They are interpolated linearly at the voxels' centres. Template slices that are not stored, and
    what lies outside the grid, score 0.

    Args:
        native: the scan's masks.
        scores: uint16 ``[n, H, W]``, on the template slices ``z``.
        z: int ``[n]``.
        grid: the template grid.
    """
    found = sampled_on(native.affine, native.brain.shape, scores, z, grid)
    return np.asarray(np.rint(found), dtype=np.uint16)


def sampled_on(
    affine: Affine,
    shape: tuple[int, ...],
    values: NDArray[Any],
    z: NDArray[np.int64],
    grid: Grid,
) -> NDArray[np.float64]:
    """Interpolate values of the template grid linearly at a scan's own voxels; 0 outside.

    Args:
        affine: the scan's voxels to MNI152 world.
        shape: of the scan.
        values: ``[n, H, W]``, on the template slices ``z``; other slices are 0.
        z: int ``[n]``.
        grid: the template grid.
    """
    from scipy.ndimage import affine_transform

    whole = np.zeros(grid.shape, dtype=np.float64)
    whole[z] = values
    to_grid = np.linalg.inv(grid.affine) @ affine
    found = affine_transform(
        whole, to_grid, output_shape=shape, order=1, mode="grid-constant", cval=0.0
    )
    return np.asarray(found, dtype=np.float64)
