"""Which scans a report's patient browser shows, with which detectors: decided before any is scored.

The scans are chosen by their Dice. What goes in is what fits, whatever the scores will be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.front.searched import Searched
from uad_bench.method import Method
from uad_bench.report.page.browser import left_out
from uad_bench.report.page.expected import ExpectedMethod, largest_size
from uad_bench.report.page.facts import Names
from uad_bench.report.page.room import ScanSize, fitting
from uad_bench.runner.detectors.scoring import scores_by_residual
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

_PLACES = (0.0, 0.5, 1.0)
"""Which scans of a method are shown first: the worst, the median, the best."""

Cells = tuple[CellRecord, ...]
"""The cells of one detector on one dataset, one per post-processing."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChosenDataset:
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
    names: Titles


@dataclass(frozen=True, slots=True)
class Titles(Names):
    """What the browser calls methods, and which it shows from the start.

    Attributes:
        seeds: those of each method, by what it learned from and the hash of its parameters.
    """

    seeds: Mapping[tuple[str, str, str], tuple[int, ...]]

    @classmethod
    def of(cls, records: Sequence[CellRecord]) -> Titles:
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


@dataclass(frozen=True, slots=True)
class Chosen:
    """What goes on the page.

    Attributes:
        datasets: with the scans and the detectors that are shown.
        stride: of how many slices there is room for one, whatever the scores will be.
        notes: what is left out.
    """

    datasets: tuple[ChosenDataset, ...]
    stride: int
    notes: tuple[str, ...]

    def first_cells(self) -> dict[str, CellRecord]:
        """Return a cell of each detector, by the detector's key."""
        return _first_cells(self.datasets)


_Planned = tuple[ChosenDataset, tuple[ExpectedMethod, ...]]
"""A dataset, and what its detectors will make of each scan."""


def chosen_scans(records: Iterable[CellRecord], searched: Searched, room: Room) -> Chosen:
    """Choose scans and detectors for which there is room.

    Args:
        records: the cells.
        searched: where detectors and prepared data are.
        room: how many.
    """
    cells, notes = tuple(records), list[str]()
    names = Titles.of(cells)
    found = list(_datasets(cells, names, searched, room.patients, notes))
    planned = list(_at_hand(found, searched, notes))
    datasets, stride = _fitting(planned, room.size, notes)
    return Chosen(datasets, stride, tuple(notes))


def by_turns(groups: Sequence[Sequence[T]]) -> Iterator[T]:
    """Yield the first of each group, then the second of each, and so on."""
    for turn in range(max(map(len, groups), default=0)):
        yield from (group[turn] for group in groups if turn < len(group))


def _first_cells(datasets: Iterable[ChosenDataset]) -> dict[str, CellRecord]:
    """A cell of each detector, by the detector's key."""
    firsts = (some[0] for one in datasets if one.scans for some in one.cells)
    found: dict[str, CellRecord] = {}
    for first in firsts:
        if first.fit is not None:
            found.setdefault(first.fit.detector, first)
    return found


def _at_hand(
    datasets: Sequence[ChosenDataset], searched: Searched, notes: list[str]
) -> Iterator[_Planned]:
    """Yield the datasets with what those of their detectors that are there will make of scans."""
    methods: dict[str, type[Method]] = {}
    for key, first in _first_cells(datasets).items():
        try:
            methods[key] = searched.method(key)
        except UadBenchError as error:
            notes.append(f"{datasets[0].names.shown(first)}: {error}.")
    for one in datasets:
        cells, expected = list[Cells](), list[ExpectedMethod]()
        for some in one.cells:
            first = some[0]
            if first.fit is not None and first.fit.detector in methods:
                maps = tuple(record.spec.postprocessing for record in some)
                rebuilds = scores_by_residual(methods[first.fit.detector])
                title, rank = one.names.shown(first), one.names.rank(first)
                expected.append(ExpectedMethod(title, maps, rebuilds, rank))
                cells.append(some)
        if expected:
            yield replace(one, cells=tuple(cells)), tuple(expected)


def _fitting(
    planned: Sequence[_Planned], most: int, notes: list[str]
) -> tuple[tuple[ChosenDataset, ...], int]:
    """Choose the scans and the detectors for which there is room, whatever the scores will be.

    Returns:
        The datasets with what is left of them, and of how many slices one fits.
    """
    scans = list(by_turns([[(one, scan, m) for scan in one.scans] for one, m in planned]))
    ranks = {method.title: method.rank for _, methods in planned for method in methods}
    fit = fitting([_largest_size(*some) for some in scans], ranks, most)
    kept = {(scans[at][0].title, scans[at][1].name) for at in fit.scans}
    left = []
    for one, _ in planned:
        some = tuple(scan for scan in one.scans if (one.title, scan.name) in kept)
        if lost := len(one.scans) - len(some):
            notes.append(
                f"{one.title}: {lost} of {len(one.scans)} scans do not fit into the size of this "
                "page (--most-mb)."
            )
        cells = tuple(some for some in one.cells if one.names.shown(some[0]) in fit.titles)
        left.append(replace(one, scans=some, cells=cells))
    if kept:
        notes += left_out(ranks, fit)
    return tuple(left), fit.stride


def _largest_size(
    shown: ChosenDataset, scan: PreparedScan, methods: Iterable[ExpectedMethod]
) -> ScanSize:
    """The most bytes that a scan takes on the page."""
    slices, lesion = shown.data.slices(scan), np.asarray(shown.data.lesion(scan))
    image, brain = np.asarray(slices.image)[:, 0], np.asarray(slices.brain)[:, 0]
    return largest_size((shown.title, scan.name), image, brain, lesion, methods)


def _datasets(
    records: Cells, names: Titles, searched: Searched, patients: int, notes: list[str]
) -> Iterator[ChosenDataset]:
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
        scans = _chosen(data, _first(cells), patients)
        total = len(data.scans_of("test"))
        if len(scans) < total:
            notes.append(
                f"{title}: {len(scans)} of {total} scans, the worst, the median and the best of "
                "each method first (--patients)."
            )
        yield ChosenDataset(title, data, scans, cells, names)


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
