"""What the patient browser of a report needs: slices to draw, and exact numbers for its slider.

A voxel's score is one byte. The bytes are cut at every threshold that the slider has, and between
them evenly, so that the mask at each threshold is exact and the map looks as it is. The numbers of
the whole scan at each threshold are counted here, as a protocol counts them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.masks.lesions import match_lesions
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import ScoreHistogram, threshold_at_fpr
from uad_bench.evaluation.scores.tally import LEVELS
from uad_bench.method import FloatArray
from uad_bench.report.page.packing import (
    CODES,
    Bytes,
    Part,
    box_of,
    grey_of,
    kinds_of,
    most_lesion,
    with_frame,
)
from uad_bench.report.page.room import Fit, ScanSize, fitting, shown_slices
from uad_bench.volumes.grid import Grid

RATES = (
    *(0.2, 0.15, 0.1),
    *(float(f"{step}e{power}") for power in (-2, -3, -4, -5) for step in (7, 5, 3, 2, 1.5, 1)),
    0.0,
)
"""The steps of the slider: shares of healthy validation voxels that reach the threshold."""

_BASE = {"rates": RATES, "start": RATES.index(0.01), "levels": LEVELS - 1}
_COLOURS = 17


@dataclass(frozen=True, slots=True, eq=False)
class ShownMap:
    """The scores of one scan under one post-processing.

    Attributes:
        scored: the scores beside the truth.
        thresholds: a level per rate of ``RATES``.
    """

    scored: ScoredScan
    thresholds: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ShownMethod:
    """What one detector or control made of a scan.

    Attributes:
        title: what the page calls it.
        maps: by post-processing.
        reconstruction: float32 ``[N, H, W]`` in [0, 1]; ``None`` where it makes none.
        rank: 0 for what is shown from the start. The others can be chosen; where the page is full,
            those of a higher rank are left out first.
    """

    title: str
    maps: Mapping[str, ShownMap]
    reconstruction: FloatArray | None = None
    rank: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ShownScan:
    """A scan, and what methods made of it.

    Attributes:
        dataset: title of its dataset.
        simulated: whether it is a phantom.
        image: float32 ``[N, H, W]`` in [0, 1].
        grid: the template grid.
        methods: one or several.
    """

    dataset: str
    simulated: bool
    image: FloatArray
    grid: Grid
    methods: tuple[ShownMethod, ...]

    @property
    def scored(self) -> ScoredScan:
        """Any scores of it, for its truth and its name."""
        return next(one.scored for method in self.methods for one in method.maps.values())


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


def thresholds_at(validation: ScoreHistogram) -> tuple[int, ...]:
    """Return the level at each rate of the slider, from the scores of healthy validation scans."""
    return tuple(threshold_at_fpr(validation, rate) for rate in RATES)


def make_browser(
    scans: Sequence[ShownScan], most: int, notes: Sequence[str] = (), planned: int = 1
) -> Browser:
    """Pack scans into at most so many bytes: fewer slices where they do not fit, then fewer scans.

    Args:
        scans: those to show, those that may not be left out first.
        most: bytes.
        notes: what is left out already.
        planned: everything is shown where one slice in so many, or in fewer, leaves room for it.
    """
    ranks = _ranks(scans)
    tops = _tops(scans)
    packed = [_packed(scan, tops) for scan in scans]
    fit = fitting([one.size for one in packed], ranks, most, planned)
    said, kept = list(notes), [packed[place] for place in fit.scans]
    if fit.stride > 1:
        said.append(f"One slice in {fit.stride} is shown, because of the size of this page.")
    if more := len(packed) - len(kept):
        said.append(f"{more} more {'scan is' if more == 1 else 'scans are'} left out for its size.")
    if kept:
        said += left_out(ranks, fit)
    facts = {
        **_BASE,
        "colours": _colours(),
        "scans": [one.facts_of(fit.stride, fit.titles) for one in kept],
        "chosen": [title for title, rank in ranks.items() if rank == min(ranks.values())],
    }
    slices = tuple(one.slices_of(fit.stride, fit.titles) for one in kept)
    return Browser(facts, slices, tuple(said))


def left_out(ranks: Mapping[str, int], fit: Fit) -> list[str]:
    """Return what is to be said of the methods for which there is no room."""
    lost = [title for title in ranks if title not in fit.titles]
    return [f"Left out for the size of this page (--most-mb): {', '.join(lost)}."] if lost else []


def empty_browser(titles: Iterable[str]) -> Browser:
    """Return a browser without scans, and with all that may be said of methods: what it takes.

    Args:
        titles: of the methods.
    """
    every = tuple(titles)
    note = " ".join(("One slice in 8 is shown; 1000 more scans are left out.", *every))
    facts = {**_BASE, "colours": _colours(), "scans": [], "chosen": every}
    return Browser(facts, (), (note, note))


@dataclass(frozen=True, slots=True)
class _Packed:
    """A scan, and what methods made of it, by title."""

    scan: Part
    methods: Mapping[str, Part]

    @property
    def size(self) -> ScanSize:
        """Bytes that it takes on the page."""
        methods = {title: one.size for title, one in self.methods.items()}
        return ScanSize(self.scan.facts["start"], with_frame(self.scan.size), methods)

    def facts_of(self, stride: int, titles: Collection[str]) -> Mapping[str, Any]:
        """What is known of the scan and of these methods."""
        methods = [one.facts for one in self._of(titles)]
        return {**self.scan.facts, "slices": list(self._places(stride)), "methods": methods}

    def slices_of(self, stride: int, titles: Collection[str]) -> tuple[tuple[str, ...], ...]:
        """Some of the slices: of the scan, and then of each of these methods."""
        parts = [self.scan, *self._of(titles)]
        return tuple(tuple(part.slices[at] for part in parts) for at in self._places(stride))

    def _of(self, titles: Collection[str]) -> list[Part]:
        return [one for title, one in self.methods.items() if title in titles]

    def _places(self, stride: int) -> range:
        return shown_slices(self.scan.facts["start"], len(self.scan.slices), stride)


def _ranks(scans: Sequence[ShownScan]) -> dict[str, int]:
    """The rank of each method, by title."""
    return {method.title: method.rank for scan in scans for method in scan.methods}


def _tops(scans: Sequence[ShownScan]) -> dict[tuple[str, str], int]:
    """The highest score of each method's maps in the brain: one scale for all its scans."""
    tops: dict[tuple[str, str], int] = {}
    for scan in scans:
        for method in scan.methods:
            for name, one in method.maps.items():
                top = int(one.scored.scores[one.scored.brain].max(initial=1))
                tops[method.title, name] = max(top, tops.get((method.title, name), 1))
    return tops


def _packed(scan: ShownScan, tops: Mapping[tuple[str, str], int]) -> _Packed:
    """Cut a scan to its brain, and pack its layers slice by slice."""
    truth = scan.scored
    lesion = truth.lesion
    box = box_of(truth.brain | (lesion > 0))
    own = [layer[:, *box] for layer in (grey_of(scan.image), kinds_of(truth.brain, lesion))]
    affine = scan.grid.affine
    facts = {
        "dataset": scan.dataset,
        "simulated": scan.simulated,
        "name": truth.name,
        "left": "R" if affine[0, 2] < 0 else "L",
        "width": own[0].shape[2],
        "height": own[0].shape[1],
        "count": len(own[0]),
        "start": most_lesion(lesion),
        "voxel_ml": prod(truth.spacing) / 1000.0,
    }
    methods = {one.title: _part(one, truth.brain, box, tops) for one in scan.methods}
    return _Packed(Part.of(facts, own), methods)


def _part(
    method: ShownMethod,
    brain: NDArray[np.bool_],
    box: tuple[slice, slice],
    tops: Mapping[tuple[str, str], int],
) -> Part:
    """Pack the layers of a method slice by slice."""
    layers = list[Bytes]()
    rebuilt = None
    if method.reconstruction is not None:
        rebuilt = len(layers)
        layers.append(grey_of(method.reconstruction))
    maps = {}
    for name, one in method.maps.items():
        scores = np.where(brain, one.scored.scores, 0)
        cuts = _cuts(one.thresholds, int(scores.max(initial=1)))
        maps[name] = {
            "layer": len(layers),
            "cuts": cuts.tolist(),
            "top": tops[method.title, name],
            "at": _codes_at(cuts, one.thresholds),
            "thresholds": one.thresholds,
            **_numbers(one),
        }
        layers.append(np.searchsorted(cuts, scores, side="right").astype(np.uint8))
    facts = {"title": method.title, "reconstruction": rebuilt, "maps": maps}
    return Part.of(facts, [layer[:, *box] for layer in layers])


def _colours() -> list[str]:
    """The colours of a map, from its lowest score to its highest."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["inferno"](x)) for x in np.linspace(0, 1, _COLOURS)]


def _cuts(thresholds: Sequence[int], top: int) -> NDArray[np.int64]:
    """The levels at which codes begin: every threshold that a voxel reaches, the rest evenly."""
    needed = np.unique([one for one in thresholds if one <= top])
    even = np.unique(np.linspace(1, top, CODES - len(needed)).astype(np.int64))
    return np.union1d(needed, even).astype(np.int64)


def _codes_at(cuts: NDArray[np.int64], thresholds: Sequence[int]) -> list[int]:
    """The lowest code that reaches each threshold; one above all codes where none does."""
    return [int(np.searchsorted(cuts, one)) + 1 for one in thresholds]


def _numbers(one: ShownMap) -> dict[str, Any]:
    """What the whole scan counts at each threshold."""
    scored = one.scored
    histogram = scored.brain_histogram()
    lesion = scored.volume(scored.lesion_mask)
    matches = {
        level: match_lesions(
            scored.volume(scored.predicted(level) & scored.brain), lesion, scored.spacing
        )
        for level in set(one.thresholds)
    }
    return {
        "true": histogram.lesion.at_or_above(one.thresholds).tolist(),
        "false": histogram.healthy.at_or_above(one.thresholds).tolist(),
        "lesion": histogram.lesion_voxels,
        "lesions": matches[one.thresholds[0]].lesions,
        "matched": [matches[level].matched for level in one.thresholds],
        "false_findings": [matches[level].false_findings for level in one.thresholds],
    }
