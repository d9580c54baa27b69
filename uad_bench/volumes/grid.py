"""The template grid, and the types of arrays on it.

World coordinates are in mm, RAS+: x grows to the patient's right, y to anterior, z to superior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]


FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """The template grid: row 0 is anterior, column 0 the patient's right, z ascends from inferior.

    Attributes:
        affine: float64 ``[4, 4]``, index (z, row, column) to MNI152 world coordinates in mm.
        shape: number of slices, rows and columns.
    """

    affine: Affine
    shape: tuple[int, int, int]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in mm."""
        z, y, x = np.abs(self.affine[:3, :3]).max(axis=0)
        return float(z), float(y), float(x)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml."""
        return float(np.prod(self.spacing)) / 1000.0


def mirrored(mask: NDArray[np.bool_], affine: Affine) -> NDArray[np.bool_]:
    """Return a mask with left and right exchanged, as a tool that ignores affines stores it."""
    return np.flip(mask, int(np.abs(affine[0, :3]).argmax()))
