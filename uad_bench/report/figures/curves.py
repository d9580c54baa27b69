"""Precision-recall curves of a results folder, from the stored score histograms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uad_bench.cells import CellRecord, EvaluationSpace, Group
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.histograms import (
    PrecisionRecall,
    ScoreHistogram,
    average_precision,
    precision_recall,
)
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import Protocol
from uad_bench.histogram_files import load_histograms
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.figures.cells import png
from uad_bench.report.publication import Publication
from uad_bench.report.tables.arrange import dataset_titles, method_title
from uad_bench.report.tables.model import ELSEWHERE, ELSEWHERE_NOTE, SUPERVISED_NOTE, SYMBOLS
from uad_bench.report.tables.versions import refuse_other_version

_COLUMNS = 3
_LINE = 52
"""Characters of a note that fit below one panel."""
_PANEL = (3.3, 3.7)
"""Width and least height of a panel with its legend, in inches."""

_PLOT = 3.2
"""Height of a panel without the lines of its legend, in inches."""

_LEGEND_COLUMNS = 2
_LEGEND_LINE = 0.15
_DPI = 130
_POINTS = 400
_STYLES = (":", "-", "--", "-.")
_PALETTES: Mapping[Group, tuple[str, ...]] = {
    "detector": (
        *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b"),
        *("#882255", "#999933", "#332288", "#44aa99", "#ddcc77"),
    ),
    "supervised": ("#000000", "#4b0082", "#7b4fb5", "#a983d8", "#cfb3ee", "#6b5b7b"),
    "control": ("#555555", "#aaaaaa"),
}
"""Colours by group. Those of detectors are Okabe and Ito's, then Tol's, which colour-blind people
can tell apart."""

_Key = tuple[str, str, str, str]
"""Method, the dataset that a supervised one learned from, hash of parameters, post-processing."""


def pooled(records: Sequence[CellRecord], root: Path) -> ScoreHistogram:
    """Return the scores of all scans and all seeds of some cells, whole slices, added up.

    Raises:
        UadBenchError: a file of histograms that is missing or damaged.
    """
    return ScoreHistogram.pooled(
        histogram
        for record in records
        if record.histograms is not None
        for name, histogram in load_histograms(root / record.histograms).items()
        if name.endswith("/slice")
    )


def curves_picture(
    records: Sequence[CellRecord],
    root: Path,
    protocol: Protocol,
    postprocessings: Sequence[PostProcessing],
    space: EvaluationSpace = "template",
    *,
    paper: Publication = BERCEA_2022,
) -> bytes:
    """Draw one panel per dataset with the curve of every method, as PNG.

    Voxels of all patients are pooled, so that the area (AP) is that of protocol ``paper``; the
    AUPRC of ``strict`` is the mean over patients.

    Args:
        records: the cells, in any order.
        root: the results folder.
        protocol: whose cells are drawn; all protocols score the same voxels.
        postprocessings: those of the cells, in the order of line styles.
        space: whose voxels.
        paper: the paper whose order and names the picture follows.

    Raises:
        UadBenchError: no finished cell of this protocol, one of another version of it, or a
            damaged file of histograms.
    """
    kind = protocol.name, space
    done = [r for r in records if r.state == "done" and (r.spec.protocol, r.spec.space) == kind]
    if not done:
        raise UadBenchError(
            f"{root}: no finished cell of protocol {protocol.name} in {space} space to draw"
        )
    refuse_other_version(done, [protocol], postprocessings)
    datasets: defaultdict[str, defaultdict[_Key, list[CellRecord]]]
    datasets = defaultdict(lambda: defaultdict(list))
    for record in sorted(done, key=lambda record: record.spec.name):
        spec = record.spec
        key = (spec.method, spec.supervised_on, spec.params_hash, spec.postprocessing)
        datasets[spec.dataset][key].append(record)
    names = sorted(datasets, key=lambda name: (paper.dataset_place(name), name))
    titles = dataset_titles(done, paper)
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    entries = -(-max(map(len, datasets.values())) // _LEGEND_COLUMNS)
    height = max(_PANEL[1], _PLOT + _LEGEND_LINE * entries)
    figure = Figure(figsize=(_PANEL[0] * columns, height * rows), dpi=_DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(panels.ravel()):
        if place >= len(names):
            axes.set_axis_off()
            continue
        title = titles[names[place]]
        _panel(axes, title, datasets[names[place]], root, postprocessings, paper=paper)
    notes = []
    if any(record.training is not None and record.training.simulated for record in done):
        notes.append("Simulated: the training data")
    if any(record.group == "supervised" for record in done):
        notes.append(f"{SYMBOLS['supervised']} {SUPERVISED_NOTE}")
    if any(record.maps is not None for record in done):
        notes.append(f"{ELSEWHERE} {ELSEWHERE_NOTE}")
    if notes:
        lines = [line for note in notes for line in wrap(note, _LINE * columns)]
        figure.supxlabel("\n".join(lines), fontsize=7)
    return png(figure)


def _panel(
    axes: Axes,
    title: str,
    cells: Mapping[_Key, Sequence[CellRecord]],
    root: Path,
    postprocessings: Sequence[PostProcessing],
    *,
    paper: Publication,
) -> None:
    """Draw one dataset: a line style per post-processing, colours by group of methods."""
    marks = {one.name: one.mark for one in postprocessings}
    groups: dict[Group, list[tuple[str, str, str]]] = {group: [] for group in _PALETTES}
    for key, (first, *_) in cells.items():
        if key[:3] not in groups[first.group]:
            groups[first.group].append(key[:3])
    for key in sorted(cells, key=lambda key: list(groups).index(cells[key][0].group)):
        records = cells[key]
        histogram = pooled(records, root)
        curve, area = precision_recall(histogram), average_precision(histogram)
        if curve is None or area is None:
            continue
        first = records[0]
        variant = first.spec.postprocessing
        symbol = SYMBOLS[first.group] + (ELSEWHERE if first.maps is not None else "")
        palette = _PALETTES[first.group]
        axes.plot(
            *thinned(curve),
            color=palette[groups[first.group].index(key[:3]) % len(palette)],
            linestyle=_STYLES[list(marks).index(variant) % len(_STYLES)],
            linewidth=1.6 if first.group == "detector" else 1.0,
            label=f"{method_title(first, paper)}{marks[variant]}{symbol} {area:.2f}",
        )
    simulated = all(r.data is not None and r.data.simulated for rs in cells.values() for r in rs)
    words = title + (" (simulated)" if simulated else "")
    axes.set_title(words, fontsize=9, parse_math=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("recall", fontsize=8)
    axes.set_ylabel("precision", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncols=_LEGEND_COLUMNS,
        fontsize=6.5,
        title="AP, voxels pooled over patients and seeds",
        title_fontsize=6.5,
        frameon=False,
    )


def thinned(curve: PrecisionRecall) -> tuple[np.ndarray, np.ndarray]:
    """Points of the curve, dense enough for a picture: evenly spread over recall."""
    recall, precision = curve.recall[::-1], curve.precision[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, _POINTS), side="left").clip(max=len(recall) - 1)
    keep = np.unique(at)
    return recall[keep], precision[keep]
