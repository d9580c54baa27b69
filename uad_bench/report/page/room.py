"""What fits on a page: fewer slices where it is full, then fewer scans; further methods come last.

The same rule holds before any scan is scored, with the most that each can take, and after that,
with what each takes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

STRIDES = (1, 2, 3, 4, 6, 8)
"""Of how many slices one is shown, where all are too large."""


@dataclass(frozen=True, slots=True)
class PartSize:
    """Bytes of a scan, or of what a method made of it.

    Attributes:
        text: what is known of it.
        slices: each slice.
    """

    text: int
    slices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScanSize:
    """Bytes of a scan, and of what methods made of it.

    Attributes:
        start: the slice that is always shown.
        scan: the scan itself.
        methods: by title.
    """

    start: int
    scan: PartSize
    methods: Mapping[str, PartSize]

    def size(self, stride: int, titles: Collection[str]) -> int:
        """Return the bytes of one slice in so many, with these methods."""
        places = shown_slices(self.start, len(self.scan.slices), stride)
        parts = [self.scan, *(one for title, one in self.methods.items() if title in titles)]
        return sum(part.text + sum(part.slices[at] for at in places) for part in parts)


def shown_slices(start: int, count: int, stride: int) -> range:
    """Return the places of one slice in so many, that of ``start`` among them."""
    return range(start % stride, count, stride)


@dataclass(frozen=True, slots=True)
class Fit:
    """What fits.

    Attributes:
        stride: of how many slices one is shown.
        scans: places of the scans.
        titles: of the methods.
    """

    stride: int
    scans: tuple[int, ...]
    titles: frozenset[str]


def fitting(
    sizes: Sequence[ScanSize], ranks: Mapping[str, int], most: int, planned: int = 1
) -> Fit:
    """Return what fits into some bytes.

    Only methods of the lowest rank count for slices and scans. The others follow as far as there
    is room.

    Args:
        sizes: of the scans, those that may not be left out first.
        ranks: of the methods, by title.
        most: bytes.
        planned: everything is shown where one slice in so many, or in fewer, leaves room for it.
    """
    if not sizes or not ranks:
        return Fit(1, (), frozenset())
    everything = frozenset(ranks)
    first = frozenset(title for title, rank in ranks.items() if rank == min(ranks.values()))

    def fits(stride: int, titles: Collection[str]) -> bool:
        return sum(one.size(stride, titles) for one in sizes) <= most

    for stride in STRIDES:
        if stride <= planned and fits(stride, everything):
            return Fit(stride, tuple(range(len(sizes))), everything)
    stride = next((one for one in STRIDES if fits(one, first)), STRIDES[-1])
    kept, taken = list[int](), 0
    for place, one in enumerate(sizes):
        if taken + (size := one.size(stride, first)) <= most:
            taken += size
            kept.append(place)
    titles = first
    for title in sorted(ranks, key=lambda title: ranks[title]):
        more = titles | {title}
        if sum(sizes[place].size(stride, more) for place in kept) <= most:
            titles = more
    return Fit(stride, tuple(kept), titles)
