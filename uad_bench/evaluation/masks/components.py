"""Connected components of a mask; voxels that share a corner belong together.

They are found as runs, voxels side by side along the last axis: runs that touch are joined, and not
voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from uad_bench.kernels import compiled, compiled_or

Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The components of a mask, numbered from 0 in the order of their first voxels.

    Attributes:
        runs: int64 ``[R, 2]``, first voxel of each run in the flattened mask and one past its last.
        numbers: int64 ``[R]``, the component that each run is of.
        sizes: int64 ``[components]``, how many voxels each has.
    """

    runs: Integers
    numbers: Integers
    sizes: Integers

    @classmethod
    def of(cls, mask: Mask) -> Components:
        """Find the components of a mask, bool ``[Z, H, W]``.

        >>> import numpy as np
        >>> Components.of(np.array([[[1, 1, 0, 1]]], bool)).sizes
        array([2, 1])
        """
        # Of one kind, because every other kind of array would be compiled anew.
        runs, numbers = _numbered_runs(np.require(mask, np.bool_, ["C", "W", "E"]))
        sizes = np.bincount(numbers, weights=runs[:, 1] - runs[:, 0])
        return cls(runs, numbers, sizes.astype(np.int64))

    def shared(self, other: Components) -> Integers:
        """Count the voxels that a component shares with one of another mask of the same shape.

        Returns:
            int64 ``[N, 3]``: a component of this mask, one of the other mask, and how many voxels.
            A pair may come several times; its voxels are the sum.

        >>> import numpy as np
        >>> one, other = np.array([[[[1, 1, 1, 0]]], [[[1, 0, 1, 1]]]], bool)
        >>> Components.of(one).shared(Components.of(other))
        array([[0, 0, 1],
               [0, 1, 1]])
        """
        return _shared(self.runs, self.numbers, other.runs, other.numbers)


def _by_scipy(mask: Mask) -> tuple[Integers, Integers]:
    """Number the runs by scipy's labels."""
    labels = scipy.ndimage.label(mask, np.ones((3, 3, 3)))[0].ravel()
    edges = np.diff(np.pad(mask, ((0, 0), (0, 0), (1, 1))).view(np.int8))
    firsts = np.flatnonzero(edges[..., :-1] == 1)
    lasts = np.flatnonzero(edges[..., 1:] == -1)
    return np.stack([firsts, lasts + 1], axis=1), labels[firsts].astype(np.int64) - 1


@compiled_or(_by_scipy)
def _numbered_runs(mask: Mask) -> tuple[Integers, Integers]:
    """Find the runs of a mask and their numbers: see ``Components``."""
    depth, height, width = mask.shape
    runs, first = _runs(mask.view(np.uint8).reshape(depth * height, width))
    parents = np.arange(len(runs))
    for z in range(depth):
        for y in range(height):
            row = z * height + y
            if first[row] == first[row + 1]:
                continue
            for dz, dy in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):  # the rows before it
                if z + dz >= 0 and 0 <= y + dy < height:
                    before = row + dz * height + dy
                    shift = (row - before) * width
                    _join(parents, runs, first[row : row + 2], first[before : before + 2], shift)
    count = 0
    for run in range(len(parents)):  # a parent comes before its run, and is a number by then
        if parents[run] == run:
            parents[run] = count
            count += 1
        else:
            parents[run] = parents[parents[run]]
    return runs, parents


@compiled
def _runs(rows: Bytes) -> tuple[Integers, Integers]:
    """Return the runs of rows, and which is the first of each row and of the row past the last."""
    height, width = rows.shape
    edges = np.empty(height * (width + 1) + 1, np.int64)
    first = np.empty(height + 1, np.int64)
    found = 0
    for y in range(height):
        first[y] = found // 2
        row = rows[y]
        some = np.uint8(0)
        for x in range(width):
            some |= row[x]
        if some:
            before = np.uint8(0)
            for x in range(width):  # without a branch, which noise would make slow
                edges[found] = y * width + x
                found += int(row[x] ^ before)
                before = row[x]
            edges[found] = (y + 1) * width
            found += int(before)
    first[height] = found // 2
    return edges[:found].copy().reshape(found // 2, 2), first


@compiled
def _join(parents: Integers, runs: Integers, here: Integers, there: Integers, shift: int) -> None:
    """Join the runs of a row with those that they touch in a row before it.

    Args:
        parents: of each run, one of its component that does not come later.
        runs: see ``Components``.
        here: first run of the row, and one past its last.
        there: the same of the row before it.
        shift: how many voxels one row is after the other.
    """
    near = there[0]
    for run in range(here[0], here[1]):
        start, stop = runs[run, 0] - shift, runs[run, 1] - shift
        while near < there[1] and runs[near, 1] < start:
            near += 1
        root = _root(parents, run)
        touching = near
        while touching < there[1] and runs[touching, 0] <= stop:
            if parents[touching] != root:
                other = _root(parents, touching)
                parents[max(root, other)] = min(root, other)
                root = min(root, other)
            touching += 1


@compiled
def _root(parents: Integers, run: int) -> int:
    """Return the first known run of a component, and shorten the way to it."""
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@compiled
def _shared(
    runs: Integers, numbers: Integers, other_runs: Integers, other_numbers: Integers
) -> Integers:
    """Return the overlaps of two lists of runs: see ``Components.shared``."""
    shared = np.empty((len(runs) + len(other_runs), 3), np.int64)
    run, other, found = 0, 0, 0
    while run < len(runs) and other < len(other_runs):
        stop = min(runs[run, 1], other_runs[other, 1])
        voxels = stop - max(runs[run, 0], other_runs[other, 0])
        if voxels > 0:
            shared[found, 0] = numbers[run]
            shared[found, 1] = other_numbers[other]
            shared[found, 2] = voxels
            found += 1
        if runs[run, 1] == stop:
            run += 1
        else:
            other += 1
    return shared[:found]
