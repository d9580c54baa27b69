"""The inner loops over all voxels of a scan: maps become scores, and scores are counted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_bench.kernels import compiled_or

KINDS = 4
"""Kinds of voxels that can be told apart."""

Table = NDArray[np.integer]
"""``[KINDS, 65536, 2]``: voxels of a kind at a level. Voxels at even places are counted in one
column and those at odd places in the other, so that a run of equal scores, such as an empty
background, does not wait for one place in memory."""


def _round_plain(values: NDArray[Any], levels: NDArray[np.uint16]) -> bool:
    if values.size and not (values.min() >= 0.0 and values.max() <= 1.0):
        return False
    top = np.iinfo(levels.dtype).max
    step = 1 << 18
    for start in range(0, values.size, step):
        part = slice(start, start + step)
        scaled = np.multiply(values[part], top, dtype=np.float64)
        levels[part] = np.rint(scaled, out=scaled)
    return True


@compiled_or(_round_plain)
def round_to_levels(values: NDArray[Any], levels: NDArray[np.uint16]) -> bool:
    """Write ``round(65535 value)``, half to even, in double precision.

    Args:
        values: ``[M]``, of any real type.
        levels: ``[M]``, is filled.

    Returns:
        Whether every value is in [0, 1]; if not, ``levels`` means nothing.
    """
    fine = True
    for at in range(values.size):
        value = np.float64(values[at])
        fine &= bool(value >= 0.0) & bool(value <= 1.0)
        levels[at] = np.int32(np.rint(value * 65535.0))
    return fine


def _count_plain(
    scores: NDArray[np.uint16],
    kinds: NDArray[np.uint8],
    domain: NDArray[np.bool_] | None,
    table: Table,
) -> int:
    key = (kinds & 3).astype(np.int64) << 16
    key |= scores
    found = np.bincount(key if domain is None else key[domain], minlength=table[..., 0].size)
    table[..., 0] += found.reshape(table.shape[:2]).astype(table.dtype)
    return int(np.bitwise_or.reduce(kinds, initial=0))


@compiled_or(_count_plain)
def count_into(
    scores: NDArray[np.uint16],
    kinds: NDArray[np.uint8],
    domain: NDArray[np.bool_] | None,
    table: Table,
) -> int:
    """Add voxels to a table.

    Args:
        scores: ``[M]``.
        kinds: ``[M]``, below ``KINDS``.
        domain: ``[M]``, the voxels to count; ``None`` counts all.
        table: is added to.

    Returns:
        Every bit that a kind has, inside the domain or not. Where that is ``KINDS`` or more, the
        table means nothing.
    """
    flat, seen = table.ravel(), 0
    for at in range(scores.size):
        kind = int(kinds[at])
        seen |= kind
        if domain is None or domain[at]:
            flat[(kind & 3) << 17 | int(scores[at]) << 1 | at & 1] += 1
    return seen
