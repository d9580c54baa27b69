"""The scans of a report's patient browser, scored again by stored detectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.histograms import ScoreHistogram, quantise
from uad_bench.front.chosen_scans import Cells, ChosenDataset, Room, by_turns, chosen_scans
from uad_bench.front.detector import Detector
from uad_bench.front.searched import Searched
from uad_bench.histogram_files import load_histograms
from uad_bench.method import FloatArray
from uad_bench.report.page.browser import ShownMap, ShownMethod, ShownScan, thresholds_at
from uad_bench.runner.detectors.folder import histogram_key
from uad_bench.runner.detectors.scoring import brain_on, scored_scan, signed_residual
from uad_bench.runner.events import Listener, Noted, Progressed, Started
from uad_bench.runner.failures import failure_reason
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan


@dataclass(frozen=True, slots=True)
class Shown:
    """What the patient browser shows.

    Attributes:
        scans: of one dataset after the other by turns.
        notes: what is left out.
        stride: of how many slices there is room for one, whatever the scores are.
    """

    scans: tuple[ShownScan, ...]
    notes: tuple[str, ...]
    stride: int


def shown_scans(
    records: Iterable[CellRecord], searched: Searched, room: Room, tell: Listener
) -> Shown:
    """Choose scans and detectors for which there is room, and then score these scans with these.

    Args:
        records: the cells.
        searched: where detectors and prepared data are.
        room: how many.
        tell: told about every scan.
    """
    chosen = chosen_scans(records, searched, room)
    notes = list(chosen.notes)
    made: dict[tuple[str, str], list[ShownMethod]] = {}
    for key, first in chosen.first_cells().items():
        title = chosen.datasets[0].names.shown(first)
        tell(Started(f"score scans with {title}"))
        try:
            detector = searched.detector(key)
        except UadBenchError as error:
            notes.append(f"{title}: {error}.")
            continue
        for one in chosen.datasets:
            for some in one.cells:
                if some[0].fit is not None and some[0].fit.detector == key:
                    found, said = _scored(detector, some, one, searched.root, tell)
                    notes += said
                    for scan, method in found.items():
                        made.setdefault((one.title, scan), []).append(method)
    for note in notes:
        tell(Noted(note))
    scans = by_turns([list(_assembled(one, made)) for one in chosen.datasets])
    return Shown(tuple(scans), tuple(notes), chosen.stride)


def _scored(
    detector: Detector, cells: Cells, shown: ChosenDataset, root: Path, tell: Listener
) -> tuple[dict[str, ShownMethod], list[str]]:
    """Score the scans of a dataset with a detector.

    Returns:
        What it made of each scan, by name, and what is to be said.
    """
    title, notes = shown.names.shown(cells[0]), []
    who = f"{title} on {shown.title}"
    thresholds, stored = {}, {}
    for record in cells:
        variant = detector.registry.postprocessing(record.spec.postprocessing)
        validation = detector.validation.get(histogram_key(variant))
        if validation is None:
            notes.append(f"{who}: {variant.name} has no scores of healthy people for thresholds.")
        else:
            thresholds[variant.name] = thresholds_at(validation)
            stored[variant.name] = _stored(record, root)
    made: dict[str, ShownMethod] = {}
    differs = False
    for number, scan in enumerate(shown.scans if thresholds else ()):
        try:
            maps, rebuilt = _maps(detector, shown.data, scan, thresholds)
        except Exception as error:  # a plugin's own
            notes.append(f"{who}: {scan.name} failed: {failure_reason(error)}")
            continue
        made[scan.name] = ShownMethod(title, maps, rebuilt, shown.names.rank(cells[0]))
        for name, one in maps.items():
            then = stored[name].get(f"{scan.name}/slice")
            differs |= then is not None and not _same(then, one.scored.whole_slice_histogram())
        tell(Progressed(number + 1, len(shown.scans), scan.name))
    if differs:
        notes.append(
            f"{who}: maps computed for this page differ from those of the run, as on another "
            "machine or with other versions. The table has the run's numbers."
        )
    return made, notes


def _maps(
    detector: Detector,
    data: PreparedDataset,
    scan: PreparedScan,
    thresholds: Mapping[str, tuple[int, ...]],
) -> tuple[dict[str, ShownMap], FloatArray | None]:
    """Score a scan as a run does: the maps by post-processing, and the reconstruction."""
    slices = data.slices(scan)
    residual, rebuilt = signed_residual(detector.method, slices)
    brain = brain_on(slices)
    maps = {}
    for name, levels in thresholds.items():
        found = detector.registry.postprocessing(name).apply(residual, brain)
        maps[name] = ShownMap(scored_scan(data, scan, quantise(found), "template"), levels)
    return maps, rebuilt


def _stored(record: CellRecord, root: Path) -> Mapping[str, ScoreHistogram]:
    """The histograms of a cell, where they are there."""
    file = None if record.histograms is None else root / record.histograms
    return load_histograms(file) if file is not None and file.is_file() else {}


def _same(one: ScoreHistogram, other: ScoreHistogram) -> bool:
    return all(
        np.array_equal(getattr(a, part), getattr(b, part))
        for a, b in ((one.healthy, other.healthy), (one.lesion, other.lesion))
        for part in ("levels", "counts")
    )


def _assembled(
    shown: ChosenDataset, made: Mapping[tuple[str, str], list[ShownMethod]]
) -> Iterator[ShownScan]:
    for scan in shown.scans:
        methods = tuple(sorted(made.get((shown.title, scan.name), ()), key=lambda one: one.rank))
        if methods:
            image = np.array(shown.data.slices(scan).image[:, 0])
            data = shown.data
            yield ShownScan(shown.title, data.simulated, image, data.grid, methods)
