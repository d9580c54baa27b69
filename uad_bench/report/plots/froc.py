"""Lesions found against false findings per scan, a panel per dataset."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from uad_bench.evaluation.froc import Floats
from uad_bench.evaluation.masks.lesions import OVERLAP
from uad_bench.report.plots.source import Source
from uad_bench.report.plots.style import explain, label_edges, panels, plain_logarithm, row_titles

_FEWEST = 0.1
"""Fewer false findings per scan are drawn here: a logarithmic axis has no zero."""

_MANY = 50
"""With more false findings per scan, the axis has a number for each decade only."""

_MARKS = 5

_NOTE = (
    "Lesions found: the most that any threshold finds with so many false findings per scan or "
    f"fewer. A finding stands for one lesion, from an intersection over union of {OVERLAP} on."
)
_FEWER = f"Fewer than {_FEWEST} false findings per scan, also none, are drawn at {_FEWEST}."


def froc_figure(
    source: Source, curves: Mapping[tuple[int, int], tuple[Floats, Floats]], *said: str
) -> Figure:
    """Draw the curves.

    Args:
        source: the cells.
        curves: by row and column, false findings per scan and the share of lesions found.
        said: what a reader must know besides, a sentence each.
    """
    drawn = source.inks
    figure, axes = panels(row_titles(source.arrangement), share=True)
    shown = sorted({column for _, column in curves})
    notes = [*source.notes, _NOTE]
    if any(false[0] < _FEWEST for false, _ in curves.values()):
        notes.append(_FEWER)
    for (row, column), (false, found) in sorted(curves.items()):
        last = max(int(np.searchsorted(false, _FEWEST, side="right")) - 1, 0)
        at, share = np.maximum(false[last:], _FEWEST), found[last:]
        every = (column % _MARKS / 20, 1 / _MARKS)
        drawn[column].draw(axes[row], at, share, drawstyle="steps-post", markevery=every)
    most = max(float(false[-1]) for false, _ in curves.values())
    numbers = (1, 2, 5) if most < _MANY else (1,)
    for panel in axes:
        plain_logarithm(panel.xaxis, numbers)
        panel.set(ylim=(-0.02, 1.02), xlabel="false findings per scan", ylabel="lesions found")
    label_edges(axes)
    explain(figure, [drawn[column] for column in shown], *notes, *said)
    return figure
