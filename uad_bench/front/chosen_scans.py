"""Which scans a report's patient browser may show, and which detectors score them.

The scans are chosen by their Dice. How many of them fit is seen when they are scored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from uad_bench.cells import CellRecord
from uad_bench.front.searched import Searched
from uad_bench.report.page.facts import Names
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

_PLACES = (0.0, 0.5, 1.0)
"""Which scans of a method are shown first: the worst, the median, the best."""

Cells = tuple[CellRecord, ...]
"""The cells of one detector on one dataset, one per post-processing."""


@dataclass(frozen=True, slots=True, eq=False)
class ChosenScan:
    """A scan of a prepared dataset.

    Attributes:
        dataset: what the page calls its dataset.
        data: the prepared dataset.
        scan: the scan.
    """

    dataset: str
    data: PreparedDataset
    scan: PreparedScan


@dataclass(frozen=True, slots=True)
class ChosenDetector:
    """A stored detector; one that learned from a dataset is another on that dataset.

    Attributes:
        key: its own.
        title: what the page calls it.
        rank: those of a lower rank are more important.
        cells: by what the page calls the dataset.
    """

    key: str
    title: str
    rank: int
    cells: Mapping[str, Cells]

    def was_tested_on(self, one: ChosenScan) -> bool:
        """Whether a scan is one that it was tested on; none that it learned from is."""
        cell, *_ = self.cells.get(one.dataset, (None,))
        if cell is None or not cell.spec.tested_in_part:
            return cell is not None
        return any(scan.name == one.scan.name for scan in cell.scans)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a page may show.

    Attributes:
        scans: of one dataset after the other by turns.
        detectors: the most important first.
        notes: what is left out.
    """

    scans: tuple[ChosenScan, ...]
    detectors: tuple[ChosenDetector, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Titles(Names):
    """What the browser calls detectors, and how important they are.

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
        """The detector of a cell: what is no detector says so, one of several seeds says which."""
        several = len(self.seeds[_kind(record)]) > 1
        seed = f", seed {record.spec.seed}" if several else ""
        return f"{self.method(record)}{seed}{_mark(record)}"

    def rank(self, record: CellRecord) -> int:
        """The first seed of each method, its other seeds, controls, and their other seeds."""
        first = record.spec.seed == self.seeds[_kind(record)][0]
        return 2 * (record.group == "control") + (not first)


def _mark(record: CellRecord) -> str:
    if record.spec.tested_in_part:
        return " (supervised, learned from this dataset)"
    return "" if record.group == "detector" else f" ({record.group})"


def _kind(record: CellRecord) -> tuple[str, str, str]:
    """What seeds of one method have in common."""
    return record.spec.method, record.spec.supervised_on, record.spec.params_hash


def chosen_scans(records: Iterable[CellRecord], searched: Searched, patients: int) -> Chosen:
    """Choose scans and detectors.

    Args:
        records: the cells.
        searched: where prepared data are.
        patients: scans of each dataset.
    """
    cells, notes = tuple(records), list[str]()
    names = _Titles.of(cells)
    datasets = list(_datasets(cells, names, searched, patients, notes))
    turns = chain.from_iterable(zip_longest(*(one.scans for one in datasets)))
    scans = tuple(scan for scan in turns if scan is not None)
    return Chosen(scans, _detectors_of(datasets, names), tuple(notes))


@dataclass(frozen=True, slots=True)
class _Dataset:
    """The scans of a dataset that may be shown, and the cells of each detector."""

    title: str
    scans: tuple[ChosenScan, ...]
    cells: tuple[Cells, ...]


def _detectors_of(datasets: Iterable[_Dataset], names: _Titles) -> tuple[ChosenDetector, ...]:
    """Every detector, with its cells on all datasets."""
    found: dict[tuple[str, bool], dict[str, Cells]] = {}
    for one in datasets:
        for cells in one.cells:
            if cells[0].fit is not None:
                which = cells[0].fit.detector, cells[0].spec.tested_in_part
                found.setdefault(which, {})[one.title] = cells
    detectors = []
    for (key, _), mine in found.items():
        first = next(iter(mine.values()))[0]
        detectors.append(ChosenDetector(key, names.shown(first), names.rank(first), mine))
    return tuple(sorted(detectors, key=lambda one: one.rank))


def _datasets(
    records: Cells, names: _Titles, searched: Searched, patients: int, notes: list[str]
) -> Iterator[_Dataset]:
    """Find the prepared data and the detectors of every dataset, and choose its scans."""
    usable = [record for record in records if record.state == "done"]
    for dataset in dict.fromkeys(record.spec.dataset for record in usable):
        mine = [record for record in usable if record.spec.dataset == dataset]
        title = names.dataset(mine[0])
        kept = list(_on_the_grid(mine, names, title, notes))
        whole = [r for r in kept if not r.spec.tested_in_part]
        states = Counter(r.data.manifest_hash for r in whole or kept if r.data is not None)
        if not states:
            continue
        state = states.most_common(1)[0][0]
        others = {names.method(r) for r in whole if r.data and r.data.manifest_hash != state}
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
        taught = [r for r in kept if r.spec.tested_in_part] if whole else []
        for who in dict.fromkeys(names.method(record) for record in taught):
            notes.append(f"{who} on {title}: only subjects who had no part in its training.")
        cells = _detectors(
            [*(r for r in kept if r.data and r.data.manifest_hash == state), *taught]
        )
        scans = _chosen(data, _first(cells), patients)
        total = len(data.scans_of("test"))
        if len(scans) < total:
            notes.append(
                f"{title}: {len(scans)} of {total} scans, the worst, the median and the best of "
                "each method first (--patients)."
            )
        yield _Dataset(title, tuple(ChosenScan(title, data, scan) for scan in scans), cells)


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
        (value, scan.name)
        for scan in record.scans
        if (value := scan.metrics.get("dice")) is not None
    ]
    return [name for _, name in sorted(dice)]
