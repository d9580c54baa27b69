"""Precision against recall, voxels pooled over subjects and seeds, with a band over subjects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from uad_bench.cells import CellRecord
from uad_bench.evaluation.scores.histograms import PrecisionRecall, ScoreHistogram, precision_recall
from uad_bench.histogram_files import load_histograms
from uad_bench.report.plots.source import Source
from uad_bench.report.plots.style import explain, label_edges, panels, row_titles

LEAST_PEOPLE = 10
"""Subjects with a lesion from which on a band is drawn: percentiles over fewer are too narrow."""

_POINTS = 400
_DRAWS = 500
_MARKS = 5
_GRID = np.linspace(0.005, 1, 200)

Floats = NDArray[np.float64]


def precision_recall_figure(source: Source) -> Figure:
    """Draw a panel per dataset and a line per method; the area below a line is its pooled AP.

    Lines are steps, because nothing is between two thresholds. A straight line over voxels of equal
    score would promise a precision that no threshold reaches.
    """
    shown = source.arrangement
    figure, axes = panels(row_titles(shown), share=True)
    drawn, banded = source.inks, False
    lacking = list[str]()
    for (row, column), records in shown.own.items():
        people = of_people(records, source.root)
        if any(record.histograms is None for record in records):
            lacking.append(f"{drawn[column].label} on {shown.rows[row].label}")
        curve = precision_recall(ScoreHistogram.pooled(people.values()))
        if curve is None:
            continue
        ink, panel = drawn[column], axes[row]
        every = (column % _MARKS / 20, 1 / _MARKS)
        ink.draw(panel, *thinned(curve), drawstyle="steps-pre", markevery=every)
        if sum(one.lesion_voxels > 0 for one in people.values()) >= LEAST_PEOPLE:
            low, high = band(tuple(people.values()))
            panel.fill_between(
                _GRID, low, high, step="pre", color=ink.colour, alpha=0.15, linewidth=0
            )
            banded = True
    for panel in axes:
        panel.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    label_edges(axes)
    notes = ["Voxels are pooled over subjects and seeds."]
    if banded:
        notes.append(
            f"Bands: 95 % of {_DRAWS} bootstraps of the subjects, where {LEAST_PEOPLE} or more "
            "have a lesion."
        )
    if lacking:
        notes.append(f"Cells without score histograms are not drawn: {', '.join(lacking)}.")
    explain(figure, drawn, *source.notes, *notes)
    return figure


def of_people(records: Sequence[CellRecord], root: Path) -> dict[str, ScoreHistogram]:
    """Return the scores of each person, all scans and all seeds of some cells, whole slices.

    Raises:
        UadBenchError: a file of histograms that is missing or damaged.
    """
    found: defaultdict[str, list[ScoreHistogram]] = defaultdict(list)
    for record in records:
        if record.histograms is not None:
            stored = load_histograms(root / record.histograms)
            for scan in record.scans:  # those of several sessions are of one person
                if (histogram := stored.get(f"{scan.name}/slice")) is not None:
                    found[scan.subject].append(histogram)
    return {name: ScoreHistogram.pooled(some) for name, some in sorted(found.items())}


def thinned(curve: PrecisionRecall) -> tuple[Floats, Floats]:
    """Points of the curve, dense enough for a picture: evenly spread over recall."""
    recall, precision = curve.recall[::-1], curve.precision[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, _POINTS), side="left").clip(max=len(recall) - 1)
    keep = np.unique(at)
    return recall[keep], precision[keep]


def band(people: Sequence[ScoreHistogram]) -> tuple[Floats, Floats]:
    """Return the lowest and highest precision at each recall of a grid, 95 % of the bootstraps.

    Args:
        people: the scores of each person.
    """
    found, false = (
        np.array([kind.dense()[::-1].cumsum() for kind in kinds], np.float64)
        for kinds in ([one.lesion for one in people], [one.healthy for one in people])
    )
    total = found.sum(axis=0)
    at = np.unique(np.searchsorted(total, np.linspace(0, total[-1], _POINTS)[1:]))
    found, false = found[:, at], false[:, at]
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), _DRAWS)
    hits, misses = weights @ found, weights @ false
    precision = np.divide(hits, hits + misses, out=np.zeros_like(hits), where=hits > 0)
    recall = hits / np.maximum(hits[:, -1:], 1)
    each = np.array(
        [
            one[np.searchsorted(place, _GRID).clip(max=len(one) - 1)]
            for place, one in zip(recall, precision, strict=True)
        ]
    )
    low, high = np.percentile(each, [2.5, 97.5], axis=0)
    return low, high
