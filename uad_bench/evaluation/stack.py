"""Slices of a scan and the volume that they are of."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value", bound=np.generic)


def stacked(slices: NDArray[Value], z: NDArray[np.int64]) -> NDArray[Value]:
    """Lay slices out in space, 0 where one is missing in between.

    Args:
        slices: ``[N, H, W]``.
        z: int ``[N]``, the place of each, rising.

    Returns:
        ``[Z, H, W]``, from the first slice to the last.
    """
    rows = z - z[0]
    if rows[-1] + 1 == len(rows):
        return slices
    volume = np.zeros((int(rows[-1]) + 1, *slices.shape[1:]), dtype=slices.dtype)
    volume[rows] = slices
    return volume


def unstacked(volume: NDArray[Value], z: NDArray[np.int64]) -> NDArray[Value]:
    """Take the slices out again that :func:`stacked` laid out."""
    rows = z - z[0]
    return volume if rows[-1] + 1 == len(rows) else volume[rows]
