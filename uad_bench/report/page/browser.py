"""What the patient browser of a report is given: the scans that fit, and what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from uad_bench.evaluation.scores.tally import LEVELS
from uad_bench.report.page.packing import RATES
from uad_bench.report.page.room import STRIDES, Fitted, PackedMethod, PackedScan, fitting

_BASE = {"rates": RATES, "start": RATES.index(0.01), "levels": LEVELS - 1}
_COLOURS = 17
_FOR_SIZE = "for the size of this page (--most-mb)"

Tops = Mapping[tuple[str, str], int]
"""The highest score of each method's maps: one scale for all its scans."""


@dataclass(frozen=True, slots=True)
class Images:
    """The scans that the patient browser may show.

    Attributes:
        scans: those that may not be left out first.
        notes: what is left out, and why.
        unscored: how many further scans there is no room for.
        without: on how many scans there is no room for a method, by title.
    """

    scans: tuple[PackedScan, ...]
    notes: tuple[str, ...] = ()
    unscored: int = 0
    without: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser as a template writes it.

    Attributes:
        facts: what is known of all scans, for JSON.
        slices: the slices of each scan, packed: the scan first, and then each method.
        notes: what is left out, and why.
    """

    facts: Mapping[str, Any]
    slices: tuple[tuple[tuple[str, ...], ...], ...]
    notes: tuple[str, ...]

    @property
    def orientation(self) -> str:
        """Where the patient's right is, in words."""
        lefts = {scan["left"] for scan in self.facts["scans"]}
        if lefts == {"R"}:
            return "Radiological orientation: the patient's right is on the left, the front above."
        if lefts == {"L"}:
            return "Neurological orientation: the patient's left is on the left, the front above."
        return "The letters R and L are the patient's right and left; the front is above."


def make_browser(images: Images, most: int) -> Browser:
    """Take as much as fits into so many bytes: fewer slices where scans do not, then fewer scans.

    Args:
        images: the scans.
        most: bytes.
    """
    kept = fitting(images.scans, most).scans
    methods = [method for one in kept for method in one.methods]
    tops: dict[tuple[str, str], int] = {}
    for method in methods:
        for name, top in method.tops.items():
            tops[method.title, name] = max(top, tops.get((method.title, name), 1))
    first = min((method.rank for method in methods), default=0)
    facts = _facts(
        dict.fromkeys(method.title for method in methods if method.rank == first),
        [_facts_of(one, tops) for one in kept],
    )
    slices = tuple(map(_slices_of, kept))
    return Browser(facts, slices, (*images.notes, *_left_out(kept, images)))


def empty_browser(titles: Iterable[str], notes: Iterable[str] = ()) -> Browser:
    """Return a browser without scans, and with all that may be said of methods: what it takes.

    Args:
        titles: of the methods.
        notes: what is said already.
    """
    every = tuple(titles)
    most = ", ".join(f"{title} on 100000 scans" for title in every) + "." * 500
    return Browser(_facts(every, []), (), (*notes, most))


def _facts(chosen: Iterable[str], scans: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {**_BASE, "colours": _colours(), "scans": scans, "chosen": list(chosen)}


def _facts_of(one: Fitted, tops: Tops) -> Mapping[str, Any]:
    """What is known of a scan and of its methods."""
    methods = [_topped(method, tops) for method in one.methods]
    return {**one.scan.part.facts, "slices": list(one.places), "methods": methods}


def _topped(method: PackedMethod, tops: Tops) -> Mapping[str, Any]:
    """What is known of a method, with the scale of its maps."""
    facts = method.part.facts
    maps = {
        name: {**known, "top": tops[method.title, name]} for name, known in facts["maps"].items()
    }
    return {**facts, "maps": maps}


def _slices_of(one: Fitted) -> tuple[tuple[str, ...], ...]:
    """The slices that fit: of the scan, and then of each method."""
    parts = [one.scan.part, *(method.part for method in one.methods)]
    return tuple(tuple(part.slices[at] for part in parts) for at in one.places)


def _left_out(kept: Sequence[Fitted], images: Images) -> Iterator[str]:
    """Yield what is to be said of slices, scans and methods for which there is no room."""
    if not kept:
        return
    strides = Counter(STRIDES[one.step] for one in kept)
    fewer = [
        f"one in {stride} of {_scans(number)}"
        for stride, number in sorted(strides.items())
        if stride > 1
    ]
    if fewer:
        yield f"Not every slice is shown, {_FOR_SIZE}: {', '.join(fewer)}."
    total = len(images.scans) + images.unscored
    if fewer_scans := total - len(kept):
        yield f"{fewer_scans} of {total} scans are left out, {_FOR_SIZE}."
    there = Counter(method.title for one in kept for method in one.methods)
    scored = Counter(method.title for one in kept for method in one.scan.methods)
    lost = {title: scored[title] - there[title] for title in scored}
    for title, number in images.without.items():
        lost[title] = lost.get(title, 0) + number
    parts = [
        f"{title} on {_scans(number)}" if there[title] else title
        for title, number in lost.items()
        if number
    ]
    if parts:
        yield f"Left out, {_FOR_SIZE}: {', '.join(parts)}."


def _scans(number: int) -> str:
    return f"{number} scan{'' if number == 1 else 's'}"


def _colours() -> list[str]:
    """The colours of a map, from its lowest score to its highest."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["inferno"](x)) for x in np.linspace(0, 1, _COLOURS)]
