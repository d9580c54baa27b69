"""The slices of a figure of lesions: scored again by the stored detectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from uad_bench.cells import CellRecord
from uad_bench.front.detector import Detector, load_detector
from uad_bench.method import FloatArray
from uad_bench.report.figures.cells import MethodView, SliceView
from uad_bench.report.plots.lesions import lesions_figure
from uad_bench.report.plots.source import NothingToDrawError, Source
from uad_bench.results import ResultsFolder
from uad_bench.runner.data.gather import STORES
from uad_bench.runner.data.sources import cache_folder
from uad_bench.runner.detectors.scoring import brain_on, signed_residual
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan, find_prepared

_NOTE = (
    "The patient of each dataset with the median lesion volume, and the slice with most lesion. "
    "Each map has a scale of its own."
)


def draw_lesions(
    source: Source, *, cache: Path | None, device: str, plugin: tuple[Path, ...]
) -> Figure:
    """Draw a slice of each dataset, and what every method makes of its lesion.

    Args:
        source: the cells.
        cache: the folder with the prepared datasets; the user's cache if not given.
        device: a torch device, or ``auto``.
        plugin: files and folders with further methods.

    Raises:
        NothingToDrawError: no method is at hand for every dataset, or no dataset has lesions.
        UadBenchError: a detector that cannot be loaded, or more panels than fit.
    """
    views = lesion_slices(source, cache=cache, device=device, plugin=plugin)
    return lesions_figure(views, " ".join((*source.notes, _NOTE)))


def lesion_slices(
    source: Source, *, cache: Path | None, device: str, plugin: tuple[Path, ...]
) -> tuple[SliceView, ...]:
    """Choose a slice of each dataset, and score its scan with every method that has all datasets.

    Arguments and errors are those of :func:`draw_lesions`.
    """
    shown, stores = source.arrangement, cache_folder(cache) / STORES
    columns = [
        column
        for column in range(len(shown.columns))
        if all(_stored(shown.own.get((row, column), ())) for row in range(len(shown.rows)))
    ]
    if not columns:
        raise NothingToDrawError(f"{source.root}: no method has a stored detector for each dataset")
    load = partial(load_detector, device=device, plugin=plugin)
    views = []
    for row in range(len(shown.rows)):
        cells = {column: _first(shown.own[row, column]) for column in columns}
        state = cells[columns[0]].data
        data = None if state is None else find_prepared(stores, state.manifest_hash)
        if data is None:
            raise NothingToDrawError(
                f"{shown.rows[row].label}: its prepared data are not in {stores}; say where with "
                "--cache, or run again"
            )
        scan = _median(data)
        if scan is not None:
            view = _view(source, cells, data, scan, load)
            views.append(replace(view, title=shown.rows[row].label))
    if not views:
        raise NothingToDrawError(f"{source.root}: no test scan with a lesion")
    return tuple(views)


def _view(
    source: Source,
    cells: Mapping[int, CellRecord],
    data: PreparedDataset,
    scan: PreparedScan,
    load: Callable[[Path], Detector],
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
            detector = load(ResultsFolder(source.root).detectors / key)
            residuals[key] = signed_residual(detector.method, slices)
        residual, rebuilt = residuals[key]
        variant = source.registry.postprocessing(record.spec.postprocessing)
        found = variant.apply(residual, brain_on(slices))
        title = source.arrangement.columns[column].title
        methods.append(MethodView(title, found[at], None if rebuilt is None else rebuilt[at]))
    image = np.asarray(slices.image)[at, 0]
    return SliceView("", data.simulated, image, lesion[at], tuple(methods))


def _median(data: PreparedDataset) -> PreparedScan | None:
    """The test scan whose lesions are larger than those of half of the others."""
    volumes = {
        scan: int((np.asarray(data.lesion(scan)) == 1).sum())
        for scan in data.scans_of("test")
        if scan.has_lesion
    }
    order = sorted(volumes, key=lambda scan: (volumes[scan], scan.name))
    return order[len(order) // 2] if order else None


def _stored(records: tuple[CellRecord, ...]) -> bool:
    """Whether a detector made these cells, and is kept."""
    return any(record.fit is not None and record.maps is None for record in records)


def _first(records: tuple[CellRecord, ...]) -> CellRecord:
    """The cell of the first seed."""
    return min(
        (record for record in records if record.fit is not None),
        key=lambda record: record.spec.seed,
    )
