"""Scans and the maps of methods, packed for a page, with exact numbers for its slider.

A voxel's score is one byte. The bytes are cut at every threshold that the slider has, and between
them evenly, so that the mask at each threshold is exact and the map looks as it is. The numbers of
the whole scan at each threshold are counted here, as a protocol counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uad_bench.evaluation.masks.lesions import match_lesions
from uad_bench.evaluation.scored import ScoredScan
from uad_bench.evaluation.scores.histograms import (
    IGNORED,
    LESION,
    ScoreHistogram,
    threshold_at_fpr,
)
from uad_bench.evaluation.scores.tally import LEVELS
from uad_bench.method import FloatArray
from uad_bench.report.page.room import Bytes, PackedMethod, Part
from uad_bench.volumes.grid import Grid

RATES = (
    *(0.2, 0.15, 0.1),
    *(float(f"{step}e{power}") for power in (-2, -3, -4, -5) for step in (7, 5, 3, 2, 1.5, 1)),
    0.0,
)
"""The steps of the slider: shares of healthy validation voxels that reach the threshold."""

_CODES = 255
"""Levels of a byte above 0."""

_MARGIN = 2


@dataclass(frozen=True, slots=True, eq=False)
class ShownScan:
    """A scan.

    Attributes:
        dataset: title of its dataset.
        name: its own.
        simulated: whether it is a phantom.
        image: float32 ``[N, H, W]`` in [0, 1].
        brain: bool ``[N, H, W]``.
        lesion: ``[N, H, W]``: 0 healthy, 1 lesion, 2 ignored.
        spacing: voxel size ``(z, y, x)`` in mm.
        grid: the template grid.
    """

    dataset: str
    name: str
    simulated: bool
    image: FloatArray
    brain: NDArray[np.bool_]
    lesion: Bytes
    spacing: tuple[float, float, float]
    grid: Grid


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


def thresholds_at(validation: ScoreHistogram) -> tuple[int, ...]:
    """Return the level at each rate of the slider, from the scores of healthy validation scans."""
    return tuple(threshold_at_fpr(validation, rate) for rate in RATES)


def packed_scan(scan: ShownScan) -> Part:
    """Cut a scan to its brain, and pack it slice by slice."""
    box = _box_of(scan.brain, scan.lesion)
    layers = [
        layer[:, *box] for layer in (_grey_of(scan.image), _kinds_of(scan.brain, scan.lesion))
    ]
    start = _most_lesion(scan.lesion)
    facts = {
        "dataset": scan.dataset,
        "simulated": scan.simulated,
        "name": scan.name,
        "left": "R" if scan.grid.affine[0, 2] < 0 else "L",
        "width": layers[0].shape[2],
        "height": layers[0].shape[1],
        "count": len(layers[0]),
        "start": start,
        "voxel_ml": prod(scan.spacing) / 1000.0,
    }
    return Part.of(facts, layers, start, framed=True)


def packed_method(method: ShownMethod) -> PackedMethod:
    """Pack what a method made of a scan slice by slice, cut as the scan is."""
    layers = list[Bytes]()
    rebuilt = None
    if method.reconstruction is not None:
        rebuilt = len(layers)
        layers.append(_grey_of(method.reconstruction))
    maps, tops = {}, {}
    for name, one in method.maps.items():
        brain = one.scored.brain
        scores = np.where(brain, one.scored.scores, 0)
        tops[name] = int(scores.max(initial=1))
        cuts = _cuts(one.thresholds, tops[name])
        maps[name] = {
            "layer": len(layers),
            "cuts": cuts.tolist(),
            "top": LEVELS,  # as long as the number that the browser puts here
            "at": _codes_at(cuts, one.thresholds),
            "thresholds": one.thresholds,
            **_numbers(one),
        }
        layers.append(np.searchsorted(cuts, scores, side="right").astype(np.uint8))
    facts = {"title": method.title, "reconstruction": rebuilt, "maps": maps}
    truth = next(one.scored for one in method.maps.values())
    box = _box_of(truth.brain, truth.lesion)
    part = Part.of(facts, [layer[:, *box] for layer in layers], _most_lesion(truth.lesion))
    return PackedMethod(method.title, method.rank, part, tops)


def _most_lesion(lesion: Bytes) -> int:
    """The slice with most lesion."""
    return int((lesion == LESION).sum(axis=(1, 2)).argmax())


def _box_of(brain: NDArray[np.bool_], lesion: Bytes) -> tuple[slice, slice]:
    """Rows and columns that show anything in any slice, with a margin."""
    shown = brain | (lesion > 0)
    rows, columns = (np.flatnonzero(shown.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    return tuple(  # type: ignore[return-value]
        slice(max(int(one[0]) - _MARGIN, 0), int(one[-1]) + 1 + _MARGIN) for one in (rows, columns)
    )


def _grey_of(image: FloatArray) -> Bytes:
    """An image in [0, 1] as bytes."""
    grey: Bytes = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return grey


def _kinds_of(brain: NDArray[np.bool_], lesion: Bytes) -> Bytes:
    """A bit for brain, one for lesion, and one for what is ignored."""
    kinds: Bytes = (brain + 2 * (lesion == LESION) + 4 * (lesion == IGNORED)).astype(np.uint8)
    return kinds


def _cuts(thresholds: Sequence[int], top: int) -> NDArray[np.int64]:
    """The levels at which codes begin: every threshold that a voxel reaches, the rest evenly."""
    needed = np.unique([one for one in thresholds if one <= top])
    even = np.unique(np.linspace(1, top, _CODES - len(needed)).astype(np.int64))
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
