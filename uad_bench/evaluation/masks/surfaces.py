"""Distances from each surface voxel of one mask to the nearest of another one.

A distance is ``sqrt((x * x + y * y) + z * z)`` in float64, each term a number of voxels times their
size, ``z`` the first axis: the smallest such number over all voxels of the other surface. It is
found axis by axis, row after row outwards until none can be nearer (Saito and Toriwaki 1994,
doi:10.1016/0031-3203(94)90133-3), within the boxes around both masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from uad_bench.kernels import compiled, compiled_or

Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def surface(mask: Mask) -> Mask:
    """The voxels of ``mask`` (any dimension) with a face neighbour outside of it."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        along, kept = np.moveaxis(mask, axis, 0), np.moveaxis(inner, axis, 0)
        kept[1:] &= along[:-1]
        kept[:-1] &= along[1:]
        kept[[0, -1]] = False
    return mask & ~inner


def nearest_distances(one: Mask, other: Mask, spacing: Sequence[float]) -> tuple[Floats, Floats]:
    """Return the distance of each surface voxel to the nearest one of the other mask, both ways.

    Args:
        one: bool ``[H, W]`` or ``[Z, H, W]``.
        other: bool, of the same shape.
        spacing: voxel size along each axis.

    Returns:
        float64 ``[surface voxels]`` of ``one`` and of ``other``, in any order; infinite where the
        other mask is empty.

    >>> import numpy as np
    >>> line, dot = np.array([[1, 1, 1, 0]], bool), np.array([[0, 0, 0, 1]], bool)
    >>> nearest_distances(line, dot, (1.0, 0.5))
    (array([1.5, 1. , 0.5]), array([0.5]))
    """
    flat = one.ndim == 2
    # Of one kind, because every other kind of array would be compiled anew.
    first, second = (
        np.require(mask[None] if flat else mask, np.bool_, ["C", "W", "E"]) for mask in (one, other)
    )
    return _both_ways(first, second, np.array([1.0, *spacing][-3:]), flat)


def _by_trees(one: Mask, other: Mask, spacing: Floats, flat: bool) -> tuple[Floats, Floats]:
    """Find the same distances, to rounding, with a tree of each surface's voxels."""
    first, second = (
        np.argwhere(surface(mask[0] if flat else mask)) * spacing[int(flat) :]
        for mask in (one, other)
    )
    first_tree, second_tree = map(scipy.spatial.cKDTree, (first, second))
    return second_tree.query(first)[0], first_tree.query(second)[0]


@compiled_or(_by_trees)
def _both_ways(one: Mask, other: Mask, spacing: Floats, flat: bool) -> tuple[Floats, Floats]:
    """Find the distances of masks ``[Z, H, W]``; a flat one has one slice, without a face."""
    ones, others = one.view(np.uint8), other.view(np.uint8)
    here, there = _box(ones), _box(others)
    first, second = _surface(ones, here, flat), _surface(others, there, flat)
    shift = here[0] - there[0]
    return (
        np.sqrt(_nearest_squares(first, second, shift, spacing)),
        np.sqrt(_nearest_squares(second, first, -shift, spacing)),
    )


@compiled
def _box(mask: Bytes) -> Integers:
    """Return the corners of the box around a mask, ``[2, 3]``: the first voxel, one past the last.

    The box of an empty mask has no voxels.
    """
    depth, height, width = mask.shape
    corners = np.zeros((2, 3), np.int64)
    slices = mask.reshape(depth, height * width)
    levels = _filled(slices)
    if len(levels):
        shadow = _shadow(slices[levels[0] : levels[-1] + 1]).reshape(height, width)
        rows, columns = _filled(shadow), np.flatnonzero(_shadow(shadow))
        for axis, places in enumerate((levels, rows, columns)):
            corners[0, axis], corners[1, axis] = places[0], places[-1] + 1
    return corners


@compiled
def _shadow(rows: Bytes) -> Bytes:
    """Return which places are marked in some row."""
    shadow = np.zeros(rows.shape[1], np.uint8)
    for row in range(len(rows)):
        for place in range(len(shadow)):
            shadow[place] |= rows[row, place]
    return shadow


@compiled
def _any(row: Bytes) -> bool:
    """Whether a place of a row is marked; all are looked at, many at a time."""
    some = np.uint8(0)
    for x in range(len(row)):
        some |= row[x]
    return bool(some)


@compiled
def _surface(mask: Bytes, box: Integers, flat: bool) -> Bytes:
    """Mark the surface of a mask within the box around it."""
    inside = mask[box[0, 0] : box[1, 0], box[0, 1] : box[1, 1], box[0, 2] : box[1, 2]]
    depth, height, width = inside.shape
    found = np.empty((depth, height, width), np.uint8)
    for z in range(depth):
        for y in range(height):
            row, marked = inside[z, y], found[z, y]
            for x in range(width):
                marked[x] = row[x]
            if (not flat and z in (0, depth - 1)) or y in (0, height - 1):
                continue
            above, below = inside[z, y - 1], inside[z, y + 1]
            front, back = (row, row) if flat else (inside[z - 1, y], inside[z + 1, y])
            for x in range(1, width - 1):
                within = row[x - 1] & row[x + 1] & above[x] & below[x] & front[x] & back[x]
                marked[x] = row[x] & (within ^ 1)
    return found


@compiled
def _nearest_squares(queries: Bytes, sites: Bytes, shift: Integers, spacing: Floats) -> Floats:
    """Return the squared distance of each query to the nearest site.

    Args:
        queries: marked voxels.
        sites: marked voxels.
        shift: index of the first query voxel minus that of the first site voxel.
        spacing: voxel size along each axis.
    """
    depth, height, width = queries.shape
    columns = _shadow(queries.reshape(depth, height * width)).reshape(height, width)
    planes, places = _plane_squares(columns, sites, shift, spacing)
    squares, found = np.empty(queries.sum()), 0
    best = np.empty(width)
    for y in range(height):
        for z in range(depth):
            wanted = queries[z, y]
            if _any(wanted):
                _start(best, wanted)
                _search(best, planes[y], places, z, spacing[0])
                for x in range(width):
                    if wanted[x]:
                        squares[found] = best[x]
                        found += 1
    return squares


@compiled
def _plane_squares(
    columns: Bytes, sites: Bytes, shift: Integers, spacing: Floats
) -> tuple[Floats, Integers]:
    """Return the squared distance from each column of queries within each plane of sites.

    Args:
        columns: marked where there is a query, ``[H, W]``.
        sites: marked voxels.
        shift: index of the first query voxel minus that of the first site voxel.
        spacing: voxel size along each axis.

    Returns:
        the squares, ``[H, planes, W]``, and where the planes are, beside the queries.
    """
    depth, sites_height, sites_width = sites.shape
    height, width = columns.shape
    levels = _filled(sites.reshape(depth, sites_height * sites_width))
    planes = np.empty((height, len(levels), width))
    rows = np.empty((sites_height, width))
    for plane in range(len(levels)):
        level = sites[levels[plane]]
        lines = _filled(level)
        for line in range(len(lines)):
            places = np.flatnonzero(level[lines[line]]) - shift[2]
            _row_squares(rows[line], places, spacing[2])
        for y in range(height):
            if _any(columns[y]):
                _start(planes[y, plane], columns[y])
                _search(planes[y, plane], rows, lines - shift[1], y, spacing[1])
    return planes, levels - shift[0]


@compiled
def _filled(rows: Bytes) -> Integers:
    """Return which rows have a mark."""
    some = np.empty(len(rows), np.bool_)
    for row in range(len(rows)):
        some[row] = _any(rows[row])
    return np.flatnonzero(some)


@compiled
def _row_squares(squares: Floats, places: Integers, size: float) -> None:
    """Write the squared distance from each place of a row to the nearest of some in it."""
    nearest = 0
    for x in range(len(squares)):
        while nearest + 1 < len(places) and places[nearest + 1] - x <= abs(x - places[nearest]):
            nearest += 1
        step = (places[nearest] - x) * size
        squares[x] = step * step


@compiled
def _start(best: Floats, wanted: Bytes) -> None:
    """Set wanted squares to infinity and the others to zero, which ends no search late."""
    for x in range(len(best)):
        best[x] = np.inf if wanted[x] else 0.0


@compiled
def _search(best: Floats, rows: Floats, places: Integers, at: int, size: float) -> None:
    """Lower squares to those by way of the rows of sites, the nearest rows first.

    Args:
        best: the squares at ``at``.
        rows: the squares within each row.
        places: of the rows, upwards.
        at: place of the squares.
        size: of a step between places.
    """
    after = 0
    while after < len(places) and places[after] < at:
        after += 1
    before = after - 1
    nearest, squares = np.zeros(4, np.int64), np.empty(4)
    while True:
        for turn in range(4):  # at a time, so that each square is loaded and stored once
            squares[turn] = np.inf
            if before >= 0 and (after == len(places) or at - places[before] <= places[after] - at):
                nearest[turn] = before
                before -= 1
            elif after < len(places):
                nearest[turn] = after
                after += 1
            else:
                continue
            step = (places[nearest[turn]] - at) * size
            squares[turn] = step * step
        if not _any_above(best, squares[0]):
            return
        _lower(best, rows, nearest, squares)


@compiled
def _any_above(values: Floats, limit: float) -> bool:
    """Whether a value is above a limit."""
    above = 0
    for x in range(len(values)):
        above += values[x] > limit
    return above > 0


@compiled
def _lower(best: Floats, rows: Floats, nearest: Integers, more: Floats) -> None:
    """Lower squares to those of four rows plus a number for each row."""
    first, second = rows[nearest[0]], rows[nearest[1]]
    third, fourth = rows[nearest[2]], rows[nearest[3]]
    one, two, three, four = more[0], more[1], more[2], more[3]
    for x in range(len(best)):
        near, far = min(first[x] + one, second[x] + two), min(third[x] + three, fourth[x] + four)
        best[x] = min(best[x], near, far)
