"""What is on a page as bytes, and what of it fits.

The scans are in the order of their importance. A page is filled in four steps, and each stops at
the first thing that does not fit: scans with every eighth slice, more of their slices up to every
second, further methods one scan after the other, and then the rest of the slices.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRIDES = (8, 6, 4, 3, 2, 1)
"""Of how many slices one is shown: the fewest slices first."""

ENOUGH = STRIDES.index(2)
"""With so many slices, further methods are more important than the rest of the slices."""

_QUOTES = 4
"""Bytes around a packed slice of a part."""

_SLICE_TEXT = 16
"""Bytes around a packed slice of a scan with all its parts: its number and brackets."""

_SCAN_TEXT = 256
"""Bytes around a scan: the element with its slices, and brackets."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of a scan, or of what a method made of it, with every slice packed.

    Attributes:
        facts: what is known.
        slices: the packed layers of each slice.
        sizes: bytes on the page at each of the strides.
    """

    facts: Mapping[str, Any]
    slices: tuple[str, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(
        cls, facts: Mapping[str, Any], layers: Sequence[Bytes], start: int, *, framed: bool = False
    ) -> Part:
        """Pack all layers of each slice together.

        Args:
            facts: what is known.
            layers: uint8 ``[N, H, W]`` each.
            start: the slice that is always shown.
            framed: whether this is a scan, which has more text around it.
        """
        from jinja2.utils import htmlsafe_json_dumps

        stacked = np.stack(layers, axis=1)
        packed = tuple(b64encode(zlib.compress(one.tobytes())).decode() for one in stacked)
        text = len(htmlsafe_json_dumps(facts)) + framed * _SCAN_TEXT
        around = _QUOTES + framed * _SLICE_TEXT
        sizes = tuple(
            text + sum(len(packed[at]) + around for at in shown_slices(start, len(packed), stride))
            for stride in STRIDES
        )
        return cls(facts, packed, sizes)


@dataclass(frozen=True, slots=True)
class PackedMethod:
    """What one detector or control made of a scan.

    Attributes:
        title: what the page calls it.
        rank: those of a lower rank are more important.
        part: its maps and its reconstruction.
        tops: the highest score of each map.
    """

    title: str
    rank: int
    part: Part
    tops: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PackedScan:
    """A scan, and what methods made of it.

    Attributes:
        part: the scan itself.
        methods: one or several, the most important first.
    """

    part: Part
    methods: tuple[PackedMethod, ...]

    @property
    def rank(self) -> int:
        """The lowest rank of its methods. Those that have it are never left out."""
        return min(one.rank for one in self.methods)

    def first(self) -> tuple[PackedMethod, ...]:
        """Return the methods that are never left out."""
        return tuple(one for one in self.methods if one.rank == self.rank)

    def further(self) -> tuple[PackedMethod, ...]:
        """Return the others."""
        return tuple(one for one in self.methods if one.rank > self.rank)

    def size(self) -> int:
        """Return the bytes with the fewest slices, and without the others."""
        return self.part.sizes[0] + sum(one.part.sizes[0] for one in self.first())


@dataclass(slots=True)
class Fitted:
    """What fits of a scan.

    Attributes:
        scan: the scan.
        methods: those that fit, the most important first.
        step: place of the stride.
    """

    scan: PackedScan
    methods: list[PackedMethod]
    step: int = 0

    def size(self, step: int) -> int:
        """Return the bytes with more slices or fewer."""
        return self.scan.part.sizes[step] + sum(one.part.sizes[step] for one in self.methods)

    @property
    def places(self) -> range:
        """The slices that fit."""
        facts = self.scan.part.facts
        return shown_slices(facts["start"], facts["count"], STRIDES[self.step])


def shown_slices(start: int, count: int, stride: int) -> range:
    """Return the places of one slice in so many, that of ``start`` among them."""
    return range(start % stride, count, stride)


@dataclass(slots=True)
class Filling:
    """A page while it is filled.

    Attributes:
        left: bytes that are free.
        scans: what is on it.
    """

    left: int
    scans: list[Fitted] = field(default_factory=list)

    def add_scan(self, scan: PackedScan) -> bool:
        """Add a scan with the fewest slices and its most important methods, if it fits."""
        fits = self._take(scan.size())
        if fits:
            self.scans.append(Fitted(scan, list(scan.first())))
        return fits

    def add_slices(self, most: int = len(STRIDES) - 1) -> None:
        """Add slices to all scans, as far as they fit.

        Args:
            most: place of the stride with which they are enough.
        """
        for step, one in product(range(1, most + 1), self.scans):
            if step > one.step:
                if not self._take(one.size(step) - one.size(one.step)):
                    break
                one.step = step

    def add_method(self, one: Fitted, method: PackedMethod) -> bool:
        """Add a method to a scan, if it fits."""
        fits = self._take(method.part.sizes[one.step])
        if fits:
            one.methods.append(method)
        return fits

    def _take(self, size: int) -> bool:
        fits = size <= self.left
        self.left -= size * fits
        return fits


def fitting(scans: Iterable[PackedScan], most: int) -> Filling:
    """Fill a page.

    Args:
        scans: those that may not be left out first.
        most: bytes.
    """
    page = Filling(most)
    for scan in scans:
        if not page.add_scan(scan):
            break
    page.add_slices(ENOUGH)
    further = [(method, one) for one in page.scans for method in one.scan.further()]
    titles = list(dict.fromkeys(method.title for method, _ in further))
    further.sort(key=lambda each: (each[0].rank, titles.index(each[0].title)))
    for method, one in further:
        if not page.add_method(one, method):
            break
    page.add_slices()
    return page
