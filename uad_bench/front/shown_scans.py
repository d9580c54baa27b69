"""The scans of a report's patient browser: chosen by Dice, and scored again by stored detectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.histograms import ScoreHistogram, quantise
from uad_bench.front.detector import Detector
from uad_bench.front.searched import Searched
from uad_bench.histogram_files import load_histograms
from uad_bench.method import FloatArray
from uad_bench.report.page.browser import (
    ShownMap,
    ShownMethod,
    ShownScan,
    least_size,
    thresholds_at,
)
from uad_bench.report.page.facts import Names
from uad_bench.runner.detectors.folder import histogram_key
from uad_bench.runner.detectors.scoring import brain_on, scored_scan, signed_residual
from uad_bench.runner.events import Listener, Noted, Progressed, Started
from uad_bench.runner.failures import failure_reason
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

_PLACES = (0.0, 0.5, 1.0)
"""Which scans of a method are shown first: the worst, the median, the best."""

Cells = tuple[CellRecord, ...]
"""The cells of one detector on one dataset, one per post-processing."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A dataset as the browser shows it.

    Attributes:
        title: what the page calls it.
        data: the prepared dataset.
        scans: those that are shown.
        cells: of each detector.
        names: what the page calls methods.
    """

    title: str
    data: PreparedDataset
    scans: tuple[PreparedScan, ...]
    cells: tuple[Cells, ...]
    names: _Titles


@dataclass(frozen=True, slots=True)
class _Titles(Names):
    """What the browser calls methods, and which it shows from the start.

    Attributes:
        seeds: those of each method, by what it learned from and the hash of its parameters.
    """

    seeds: Mapping[tuple[str, str, str], tuple[int, ...]]

    @classmethod
    def of(cls, records: Sequence[CellRecord]) -> _Titles:
        """Those of some cells."""
        seeds: dict[tuple[str, str, str], set[int]] = {}
        for record in records:
            if record.state == "done" and record.maps is None:
                seeds.setdefault(_kind(record), set()).add(record.spec.seed)
        plain = Names.of(records)
        ordered = {key: tuple(sorted(some)) for key, some in seeds.items()}
        return cls(plain.methods, plain.datasets, ordered)

    def shown(self, record: CellRecord) -> str:
        """The detector of a cell: a control says so, and one of several seeds says which."""
        several = len(self.seeds[_kind(record)]) > 1
        seed = f", seed {record.spec.seed}" if several else ""
        return f"{self.method(record)}{seed}{' (control)' if record.group == 'control' else ''}"

    def rank(self, record: CellRecord) -> int:
        """The first seed of each method, its other seeds, controls, and their other seeds."""
        first = record.spec.seed == self.seeds[_kind(record)][0]
        return 2 * (record.group == "control") + (not first)


def _kind(record: CellRecord) -> tuple[str, str, str]:
    """What seeds of one method have in common."""
    return record.spec.method, record.spec.supervised_on, record.spec.params_hash


@dataclass(frozen=True, slots=True)
class Room:
    """How many scans there is room for.

    Attributes:
        patients: scans of each dataset.
        size: bytes of all of them.
    """

    patients: int
    size: int


def shown_scans(
    records: Iterable[CellRecord], searched: Searched, room: Room, tell: Listener
) -> tuple[tuple[ShownScan, ...], tuple[str, ...]]:
    """Choose scans, and score them with every detector that is at hand.

    Args:
        records: the cells.
        searched: where detectors and prepared data are.
        room: how many; a scan that is too large by itself is not scored.
        tell: told about every scan.

    Returns:
        The scans, of one dataset after the other by turns, and what is left out.
    """
    cells, notes = tuple(records), list[str]()
    names = _Titles.of(cells)
    datasets = tuple(_datasets(cells, names, searched, room, notes))
    made: dict[tuple[str, str], list[ShownMethod]] = {}
    cells_of = {
        some[0].fit.detector: some
        for one in datasets
        for some in one.cells
        if some[0].fit and one.scans
    }
    for key, (first, *_) in cells_of.items():
        tell(Started(f"score scans with {names.shown(first)}"))
        try:
            detector = searched.detector(key)
        except UadBenchError as error:
            notes.append(f"{names.shown(first)}: {error}.")
            continue
        for one in datasets:
            for some in one.cells:
                if some[0].fit is not None and some[0].fit.detector == key:
                    found, said = _scored(detector, some, one, searched.root, tell)
                    notes += said
                    for scan, method in found.items():
                        made.setdefault((one.title, scan), []).append(method)
    scans = [list(_assembled(one, made)) for one in datasets]
    turns = max(map(len, scans), default=0)
    for note in notes:
        tell(Noted(note))
    return tuple(some[k] for k in range(turns) for some in scans if k < len(some)), tuple(notes)


def _datasets(
    records: Cells, names: _Titles, searched: Searched, room: Room, notes: list[str]
) -> Iterator[_Shown]:
    """Find the prepared data and the detectors of every dataset, and choose its scans."""
    usable = [record for record in records if record.state == "done"]
    for dataset in dict.fromkeys(record.spec.dataset for record in usable):
        mine = [record for record in usable if record.spec.dataset == dataset]
        title = names.dataset(mine[0])
        kept = list(_on_the_grid(mine, names, title, notes))
        states = Counter(r.data.manifest_hash for r in kept if r.data is not None)
        if not states:
            continue
        state = states.most_common(1)[0][0]
        others = {names.method(r) for r in kept if r.data and r.data.manifest_hash != state}
        if others:
            who = ", ".join(sorted(others))
            notes.append(f"{title}: {who} stand on other prepared data than the rest.")
        data = searched.prepared(state)
        if data is None:
            notes.append(
                f"{title}: its prepared data ({state}) are not in {searched.stores}: say where "
                "with --cache, or run again."
            )
            continue
        cells = _detectors(r for r in kept if r.data and r.data.manifest_hash == state)
        scans = _chosen(data, _first(cells), room.patients)
        total = len(data.scans_of("test"))
        if len(scans) < total:
            notes.append(
                f"{title}: {len(scans)} of {total} scans, the worst, the median and the best of "
                "each method first (--patients)."
            )
        small = tuple(scan for scan in scans if _least_size(data, scan) <= room.size)
        if len(small) < len(scans):
            notes.append(
                f"{title}: {len(scans) - len(small)} of {len(scans)} scans do not fit into the "
                "size of this page (--most-mb)."
            )
        yield _Shown(title, data, small, cells, names)


def _least_size(data: PreparedDataset, scan: PreparedScan) -> int:
    """Bytes that a scan takes at least on the page."""
    slices = data.slices(scan)
    return least_size(slices.image[:, 0], slices.brain[:, 0], np.asarray(data.lesion(scan)))


def _on_the_grid(
    records: Iterable[CellRecord], names: Names, title: str, notes: list[str]
) -> Iterator[CellRecord]:
    """Yield the cells whose maps a detector can make again; say which are left out."""
    for record in records:
        if record.maps is not None:
            note = f"{names.method(record)} on {title}: its maps were made elsewhere."
        elif record.spec.space != "template":
            note = f"{title}: scores on the scans' own voxels (native space)."
        else:
            yield record
            continue
        if note not in notes:
            notes.append(note)


def _detectors(records: Iterable[CellRecord]) -> tuple[Cells, ...]:
    """The cells of each detector: one per post-processing."""
    found: dict[tuple[object, ...], dict[str, CellRecord]] = {}
    for record in sorted(records, key=lambda r: r.spec.protocol != "strict"):
        key = *_kind(record), record.spec.seed
        found.setdefault(key, {}).setdefault(record.spec.postprocessing, record)
    return tuple(tuple(some.values()) for some in found.values())


def _first(cells: Sequence[Cells]) -> tuple[Cells, ...]:
    """Those by which scans are chosen: of detectors, if there are any."""
    return tuple(some for some in cells if some[0].group != "control") or tuple(cells)


def _chosen(data: PreparedDataset, cells: Sequence[Cells], most: int) -> tuple[PreparedScan, ...]:
    """The worst scan of every method, then its median, then its best, and then the others."""
    by_name = {scan.name: scan for scan in data.scans_of("test")}
    ranked = [_ranked(record) for some in cells for record in some]
    names = [
        names[round(place * (len(names) - 1))] for place in _PLACES for names in ranked if names
    ]
    rest = sorted(by_name, key=lambda name: (not by_name[name].has_lesion, name))
    order = [name for name in dict.fromkeys([*names, *rest]) if name in by_name]
    return tuple(by_name[name] for name in order[:most])


def _ranked(record: CellRecord) -> list[str]:
    """The scans of a cell by their Dice, the lowest first."""
    dice = [
        (value, scan.subject if scan.session is None else f"{scan.subject}_{scan.session}")
        for scan in record.scans
        if (value := scan.metrics.get("dice")) is not None
    ]
    return [name for _, name in sorted(dice)]


def _scored(
    detector: Detector, cells: Cells, shown: _Shown, root: Path, tell: Listener
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
    shown: _Shown, made: Mapping[tuple[str, str], list[ShownMethod]]
) -> Iterator[ShownScan]:
    for scan in shown.scans:
        methods = tuple(sorted(made.get((shown.title, scan.name), ()), key=lambda one: one.rank))
        if methods:
            image = np.array(shown.data.slices(scan).image[:, 0])
            data = shown.data
            yield ShownScan(shown.title, data.simulated, image, data.grid, methods)
