"""The slices of a figure of lesions: scored again by the stored detectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from uad_bench.cells import CellRecord
from uad_bench.front.detector import Detector
from uad_bench.front.figures.stored import data_behind, first_seed, is_stored
from uad_bench.front.searched import Searched
from uad_bench.method import FloatArray
from uad_bench.report.figures.cells import MethodView, SliceView
from uad_bench.report.plots.lesions import lesions_figure, refuse_too_many, too_many
from uad_bench.report.plots.source import NothingToDrawError, Source
from uad_bench.runner.detectors.scoring import (
    brain_on,
    scores_by_residual,
    signed_residual,
    typical_scan,
)
from uad_bench.runner.events import Listener, Progressed, Started
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

_NOTE = (
    "The patient of each dataset with the median lesion volume, and the slice with most lesion. "
    "Each map has a scale of its own."
)
_NO_CONTROLS = "Controls do not fit beside the methods, and are not shown."


def draw_lesions(source: Source, searched: Searched, tell: Listener) -> Figure:
    """Draw a slice of each dataset, and what every method makes of its lesion.

    Controls that nobody named give way where the panels do not fit; the figure says so.

    Args:
        source: the cells.
        searched: where detectors and prepared data are.
        tell: told about every dataset.

    Raises:
        NothingToDrawError: no method is at hand for every dataset, or no dataset has lesions.
        UadBenchError: a detector that cannot be loaded, or more panels than fit.
    """
    shown = source.arrangement
    columns = [
        column
        for column in range(len(shown.columns))
        if all(is_stored(shown.own.get((row, column), ())) for row in range(len(shown.rows)))
    ]
    if not columns:
        raise NothingToDrawError(f"{source.root}: no method has a stored detector for each dataset")
    note = _NOTE
    if source.choice.controls is None and too_many(_panels(source, columns)):
        methods = [one for one in columns if shown.columns[one].group != "control"]
        if methods:
            columns, note = methods, f"{_NOTE} {_NO_CONTROLS}"
    refuse_too_many(_panels(source, columns))
    cells = [
        {column: first_seed(shown.own[row, column]) for column in columns}
        for row in range(len(shown.rows))
    ]
    data = [
        data_behind(some.values(), searched, row.label)
        for some, row in zip(cells, shown.rows, strict=True)
    ]
    keys = {one.fit.detector for some in cells for one in some.values() if one.fit}
    detectors = {key: searched.detector(key) for key in sorted(keys)}
    tell(Started("score a patient of each dataset"))
    views = []
    for row, one in enumerate(data):
        scan = typical_scan(one.scans_of("test"))
        if scan is not None:
            view = _view(source, cells[row], one, scan, detectors)
            views.append(replace(view, title=shown.rows[row].label))
        tell(Progressed(row + 1, len(data), shown.rows[row].label))
    if not views:
        raise NothingToDrawError(f"{source.root}: no test scan with a lesion")
    return lesions_figure(views, " ".join((*source.facts(columns), *source.marks, note)))


def _panels(source: Source, columns: Iterable[int]) -> int:
    """How many panels some methods take: a map each, and a reconstruction where they make one."""
    names = (source.arrangement.columns[column].method for column in columns)
    classes = map(source.registry.method, names)
    return sum(2 if scores_by_residual(cls) else 1 for cls in classes)


def _view(
    source: Source,
    cells: Mapping[int, CellRecord],
    data: PreparedDataset,
    scan: PreparedScan,
    detectors: Mapping[str, Detector],
) -> SliceView:
    """The slice with most lesion of a scan, scored by the detectors behind some cells."""
    slices, lesion = data.slices(scan), np.asarray(data.lesion(scan))
    at = int((lesion == 1).sum(axis=(1, 2)).argmax())
    residuals: dict[str, tuple[FloatArray, FloatArray | None]] = {}
    methods = []
    for column, record in cells.items():
        assert record.fit is not None
        key = record.fit.detector
        if key not in residuals:
            residuals[key] = signed_residual(detectors[key].method, slices)
        residual, rebuilt = residuals[key]
        variant = source.registry.postprocessing(record.spec.postprocessing)
        found = variant.apply(residual, brain_on(slices))
        title = source.arrangement.columns[column].title
        methods.append(MethodView(title, found[at], None if rebuilt is None else rebuilt[at]))
    image = np.asarray(slices.image)[at, 0]
    return SliceView("", data.simulated, image, lesion[at], tuple(methods))
