"""The points at which a search range is looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

import numpy as np

from uad_bench.method import SearchRange

DEFAULT_POINTS = 5
"""Points of a range, in equal steps, or in equal factors on a logarithmic one."""

MOST_DECADES = 6
"""A logarithmic range from one power of ten to another has those between, up to here."""


def points(span: SearchRange, *, whole: bool) -> tuple[float, ...]:
    """Return the points of a range in ascending order, both ends among them.

    Args:
        span: the range.
        whole: whether they are whole numbers.

    Examples:
        >>> points(SearchRange(1e-5, 1e-2, log=True), whole=False)
        (1e-05, 0.0001, 0.001, 0.01)
        >>> points(SearchRange(4.0, 64.0, log=True), whole=False)
        (4.0, 8.0, 16.0, 32.0, 64.0)
    """
    decades = math.log10(span.high / span.low) if span.log else 0.0
    count = DEFAULT_POINTS
    if 2 <= round(decades) <= MOST_DECADES and math.isclose(decades, round(decades)):
        count = round(decades) + 1
    found = (np.geomspace if span.log else np.linspace)(span.low, span.high, count).tolist()
    if whole:
        return tuple(dict.fromkeys(round(point) for point in found))
    short = np.clip([float(f"{point:.4g}") for point in found], span.low, span.high)
    return tuple(short.tolist())


def grid(
    space: Mapping[str, SearchRange], default: Mapping[str, float]
) -> tuple[dict[str, float], ...]:
    """Return every combination of the points of some ranges.

    Args:
        space: the range of each parameter.
        default: a parameter whose default is an int has whole points.
    """
    axes = [points(span, whole=isinstance(default[name], int)) for name, span in space.items()]
    return tuple(dict(zip(space, values, strict=True)) for values in product(*axes))
