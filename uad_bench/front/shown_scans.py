"""The scans of a report's patient browser, scored again by stored detectors.

Each scan is packed as soon as it is scored, and its scores are let go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.histograms import ScoreHistogram, quantise
from uad_bench.front.chosen_scans import (
    Cells,
    Chosen,
    ChosenDetector,
    ChosenScan,
    chosen_scans,
)
from uad_bench.front.detector import Detector
from uad_bench.front.searched import Searched
from uad_bench.histogram_files import load_histograms
from uad_bench.method import FloatArray
from uad_bench.report.page.browser import Images
from uad_bench.report.page.packing import (
    ShownMap,
    ShownMethod,
    ShownScan,
    packed_method,
    packed_scan,
    thresholds_at,
)
from uad_bench.report.page.room import ENOUGH, Filling, PackedMethod, PackedScan
from uad_bench.runner.detectors.folder import histogram_key
from uad_bench.runner.detectors.scoring import brain_on, scored_scan, signed_residual
from uad_bench.runner.events import Listener, Progressed, Started
from uad_bench.runner.failures import failure_reason


def shown_scans(
    records: Iterable[CellRecord],
    searched: Searched,
    patients: int,
    room: Callable[[Iterable[str], Iterable[str]], int],
    tell: Listener,
) -> Images:
    """Score scans with stored detectors, the most important first, until the page is full.

    The first scan is scored with the first seed of every detector. What it takes on the page says
    how many more are scored. Further seeds and controls follow, one scan after the other. What does
    not fit is the last that is scored.

    Args:
        records: the cells.
        searched: where detectors and prepared data are.
        patients: scans of each dataset, at most.
        room: bytes on the page, beside the titles of methods and what is said already.
        tell: told about every scan.
    """
    chosen = chosen_scans(records, searched, patients)
    most = room([one.title for one in chosen.detectors], chosen.notes)
    scoring = _Scoring(searched, tell, dict.fromkeys(chosen.notes))
    page = Filling(most)
    shown, unscored = _add_scans(page, scoring, chosen)
    page.add_slices(ENOUGH)
    without = _add_methods(page, scoring, chosen.detectors, shown)
    scans = tuple(replace(one.scan, methods=tuple(one.methods)) for one in page.scans)
    return Images(scans, tuple(scoring.notes), unscored, without)


@dataclass(slots=True)
class _Scoring:
    """Scores scans with stored detectors, one detector at a time.

    Attributes:
        searched: where they are.
        tell: told about every scan.
        notes: what is to be said.
    """

    searched: Searched
    tell: Listener
    notes: dict[str, None]

    def packed(
        self, detector: ChosenDetector, scans: Sequence[ChosenScan]
    ) -> Iterator[tuple[int, PackedMethod]]:
        """Yield the place of each scan that can be scored, and what the detector made of it."""
        if not scans:
            return
        self.tell(Started(f"score scans with {detector.title}"))
        try:
            loaded = self.searched.detector(detector.key)
        except UadBenchError as error:
            self.notes[f"{detector.title}: {error}."] = None
            return
        runs: dict[str, _RunMaps] = {}
        for place, one in enumerate(scans):
            who = f"{detector.title} on {one.dataset}"
            if one.dataset not in runs:
                runs[one.dataset] = self._run_maps(who, loaded, detector.cells[one.dataset])
            run = runs[one.dataset]
            if not run.thresholds:
                continue
            try:
                maps, rebuilt = _maps(loaded, one, run.thresholds)
            except Exception as error:  # a plugin's own
                self.notes[f"{who}: {one.scan.name} failed: {failure_reason(error)}"] = None
                continue
            if not run.has(maps):
                self.notes[
                    f"{who}: maps computed for this page differ from those of the run, as on "
                    "another machine or with other versions. The table has the run's numbers."
                ] = None
            yield place, packed_method(ShownMethod(detector.title, maps, rebuilt, detector.rank))
            self.tell(Progressed(place + 1, len(scans), one.scan.name))

    def _run_maps(self, who: str, loaded: Detector, cells: Cells) -> _RunMaps:
        """What a run knows of a detector's maps on a dataset."""
        thresholds, stored = {}, {}
        for record in cells:
            variant = loaded.registry.postprocessing(record.spec.postprocessing)
            validation = loaded.validation.get(histogram_key(variant))
            if validation is None:
                said = f"{who}: {variant.name} has no scores of healthy people for thresholds."
                self.notes[said] = None
            else:
                thresholds[variant.name] = thresholds_at(validation)
                stored[variant.name] = _stored(record, self.searched.root)
        return _RunMaps(thresholds, stored)


@dataclass(frozen=True, slots=True)
class _RunMaps:
    """What a run knows of a detector's maps on a dataset, by post-processing.

    Attributes:
        thresholds: the levels of the slider.
        stored: the histograms of each scan's scores.
    """

    thresholds: Mapping[str, tuple[int, ...]]
    stored: Mapping[str, Mapping[str, ScoreHistogram]]

    def has(self, maps: Mapping[str, ShownMap]) -> bool:
        """Whether the maps of a scan are those of the run, as far as it kept histograms."""
        return all(
            _same(then, one.scored.whole_slice_histogram())
            for name, one in maps.items()
            if (then := self.stored[name].get(f"{one.scored.name}/slice")) is not None
        )


def _add_scans(page: Filling, scoring: _Scoring, chosen: Chosen) -> tuple[list[ChosenScan], int]:
    """Score scans with the most important detectors: as many as fit with the fewest slices.

    Returns:
        The scans that are on the page, and how many there is no room for.
    """
    room, count = page.left, 1
    shown, waiting = list[ChosenScan](), list(chosen.scans)
    while waiting:
        batch = waiting[:count]
        parts = [packed_scan(_shown(one)) for one in batch]
        if parts[0].sizes[0] > page.left:
            break
        for one, part, methods in zip(
            batch, parts, _first_methods(scoring, chosen.detectors, batch), strict=True
        ):
            if methods and not page.add_scan(PackedScan(part, methods)):
                return shown, len(waiting)
            shown += [one] if methods else []
            waiting.remove(one)
        each = (room - page.left) // len(shown) if shown else 0
        count = max(1, page.left // each) if each else len(waiting)
    return shown, len(waiting)


def _first_methods(
    scoring: _Scoring, detectors: Iterable[ChosenDetector], scans: Sequence[ChosenScan]
) -> list[tuple[PackedMethod, ...]]:
    """What the detectors of the lowest rank that can score a scan made of it."""
    made: list[list[PackedMethod]] = [[] for _ in scans]
    for _, some in groupby(detectors, key=lambda one: one.rank):
        waiting = [place for place, methods in enumerate(made) if not methods]
        for detector in some:
            mine = [place for place in waiting if detector.was_tested_on(scans[place])]
            for at, method in scoring.packed(detector, [scans[place] for place in mine]):
                made[mine[at]].append(method)
    return [tuple(methods) for methods in made]


def _add_methods(
    page: Filling,
    scoring: _Scoring,
    detectors: Iterable[ChosenDetector],
    shown: Sequence[ChosenScan],
) -> dict[str, int]:
    """Score the scans of a page with further detectors, until one does not fit.

    Returns:
        On how many scans each method was left out for want of room.
    """
    without: dict[str, int] = {}
    for detector in detectors:
        todo = [
            (one, scan)
            for one, scan in zip(page.scans, shown, strict=True)
            if detector.rank > one.scan.rank and detector.was_tested_on(scan)
        ]
        done = 0 if without else len(todo)
        for place, method in scoring.packed(detector, [scan for _, scan in todo[:done]]):
            if not page.add_method(todo[place][0], method):
                done = place
                break
        if lost := len(todo) - done:
            without[detector.title] = without.get(detector.title, 0) + lost
    return without


def _shown(one: ChosenScan) -> ShownScan:
    slices = one.data.slices(one.scan)
    return ShownScan(
        dataset=one.dataset,
        name=one.scan.name,
        simulated=one.data.simulated,
        image=np.asarray(slices.image)[:, 0],
        brain=np.asarray(slices.brain)[:, 0],
        lesion=np.asarray(one.data.lesion(one.scan)),
        spacing=slices.spacing,
        grid=one.data.grid,
    )


def _maps(
    detector: Detector, one: ChosenScan, thresholds: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, ShownMap], FloatArray | None]:
    """Score a scan as a run does: the maps by post-processing, and the reconstruction."""
    data, scan = one.data, one.scan
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
