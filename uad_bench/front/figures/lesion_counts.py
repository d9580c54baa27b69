"""Lesions counted over all thresholds: every test scan is scored again, by stored detectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.froc import Floats, count_lesions, froc, froc_thresholds
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.front.figures.stored import data_behind, first_seed, is_stored
from uad_bench.front.searched import Searched
from uad_bench.histogram_files import load_histograms
from uad_bench.method import Method
from uad_bench.report.plots.froc import froc_figure
from uad_bench.report.plots.source import NothingToDrawError, Source
from uad_bench.runner.detectors.scoring import anomaly_maps
from uad_bench.runner.events import Listener, Progressed, Started
from uad_bench.volumes.store.prepared import PreparedDataset

Place = tuple[int, int]
Curve = tuple[Floats, Floats]


def draw_froc(source: Source, searched: Searched, tell: Listener) -> Figure:
    """Draw the curves of every method that has a stored detector.

    Args:
        source: the cells.
        searched: where detectors and prepared data are.
        tell: told about every scan.

    Raises:
        NothingToDrawError: no detector is stored, or no dataset has lesions.
        UadBenchError: a detector or histograms that cannot be read.
    """
    shown = source.arrangement
    stored = {place: some for place, some in shown.own.items() if is_stored(some)}
    if not stored:
        raise NothingToDrawError(f"{source.root}: no method has a stored detector")
    groups: dict[tuple[int, str], dict[int, CellRecord]] = {}
    for (row, column), some in sorted(stored.items()):
        record = first_seed(some)
        assert record.fit is not None
        groups.setdefault((row, record.fit.detector), {})[column] = record
    data = {
        place: data_behind(some.values(), searched, shown.rows[place[0]].label)
        for place, some in groups.items()
    }
    detectors = {key: searched.detector(key) for _, key in groups}
    curves: dict[Place, Curve] = {}
    for (row, key), records in groups.items():
        method = detectors[key].method
        tell(Started(f"score {shown.rows[row].label} with {method.info.title}"))
        for column, curve in _curves(source, records, data[row, key], method, tell):
            curves[row, column] = curve
    if not curves:
        raise NothingToDrawError(f"{source.root}: no test scan with a lesion")
    return froc_figure(source, curves, *_said(source, stored))


def _curves(
    source: Source,
    records: Mapping[int, CellRecord],
    data: PreparedDataset,
    method: Method,
    tell: Listener,
) -> Iterator[tuple[int, Curve]]:
    """Yield the curve of each column, of the post-processings of one detector's maps."""
    variants = {
        column: source.registry.postprocessing(record.spec.postprocessing)
        for column, record in records.items()
    }
    with anomaly_maps(method, data, "test", list(variants.values()), tell) as maps:
        for column, record in records.items():
            thresholds = froc_thresholds(_scores(source.root, record))
            variant = variants[column].name
            tell(Started(f"count lesions of {source.arrangement.columns[column].title}"))
            counts = []
            for number, scan in enumerate(maps.scored(variant, source.space)):
                counts.append(count_lesions(scan, thresholds))
                tell(Progressed(number + 1, len(maps.scans), scan.name))
            curve = froc(counts)
            if curve is not None:
                yield column, curve


def _scores(root: Path, record: CellRecord) -> ScoreHistogram:
    """The scores of all scans of a cell: inside the brain, where its protocol keeps those."""
    if record.histograms is None:
        raise UadBenchError(f"{root}: {record.spec.name} has no histograms; run it again")
    stored = load_histograms(root / record.histograms)
    inside = [one for name, one in stored.items() if name.endswith("/brain")]
    return ScoreHistogram.pooled(inside or stored.values())


def _said(source: Source, stored: Mapping[Place, Sequence[CellRecord]]) -> Iterator[str]:
    """Yield what the figure leaves out."""
    if any(len(some) > 1 for some in stored.values()):
        yield "The first seed of each method."
    columns = source.arrangement.columns
    absent = sorted({columns[column].title for _, column in source.arrangement.own.keys() - stored})
    if absent:
        yield f"Not everywhere drawn, because no detector is stored: {', '.join(absent)}."
