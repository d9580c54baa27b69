"""What a report says beside its tables: what ran, on which data, at what cost, and what did not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from uad_bench.cells import CellRecord, DatasetUse
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.tables.arrange import dataset_titles, method_labels, training_title
from uad_bench.report.tables.states import different_states

WORST = 10
"""Scans of a dataset that the table of the worst shows."""

_KINDS = {"detector": "detector", "supervised": "supervised", "control": "control"}
_DICE = "dice"


@dataclass(frozen=True, slots=True)
class FactTable:
    """A plain table of a page. The first text of a row is its heading.

    Attributes:
        title: its caption.
        columns: their headings.
        rows: texts, as many as there are columns.
        note: a sentence below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """What the tables call methods and datasets.

    Attributes:
        methods: by method, what a supervised one learned from, and the hash of the parameters.
        datasets: by name.
    """

    methods: Mapping[tuple[str, str, str], str]
    datasets: Mapping[str, str]

    @classmethod
    def of(cls, records: Sequence[CellRecord]) -> Names:
        """Those of some cells; namesakes say in which parameters they differ, or their names."""
        titles = method_labels(records, BERCEA_2022)
        named: defaultdict[str, set[str]] = defaultdict(set)
        for (method, *_), title in titles.items():
            named[title].add(method)
        methods = {
            key: f"{title} ({key[0]})" if len(named[title]) > 1 else title
            for key, title in titles.items()
        }
        return cls(methods, dataset_titles(records, BERCEA_2022))

    def method(self, record: CellRecord) -> str:
        """The method of a cell."""
        spec = record.spec
        return self.methods[spec.method, spec.supervised_on, spec.params_hash]

    def dataset(self, record: CellRecord) -> str:
        """The dataset of a cell; a simulated one says so."""
        title = self.datasets[record.spec.dataset]
        is_simulated = record.data is not None and record.data.simulated
        return f"{title} (simulated)" if is_simulated else title


def methods_table(records: Sequence[CellRecord], names: Names) -> FactTable:
    """Each detector: its parameters, what it learned from, and what its training took."""
    rows = []
    for first, *_ in _grouped(records, _detector).values():
        fit = first.fit
        rows.append(
            (
                names.method(first),
                first.spec.method,
                "maps made elsewhere" if first.maps is not None else _KINDS[first.group],
                "" if first.maps is not None else str(first.spec.seed),
                _values(first.spec.params),
                training_title(first.training, BERCEA_2022),
                f"{fit.steps}" if fit is not None and fit.steps else "",
                "" if fit is None else f"{fit.wall_s:.0f}",
                "" if fit is None else fit.detector,
            )
        )
    columns = ("Method", "name", "kind", "seed", "parameters", "learned from", "steps")
    return FactTable("Methods", (*columns, "training, s", "detector"), tuple(rows))


def tuning_table(records: Sequence[CellRecord], names: Names) -> FactTable:
    """What tuning chose, for the methods that were tuned."""
    found = {
        (names.method(r), str(r.fit.trials), _values(r.fit.tuned), r.fit.choice)
        for r in records
        if r.fit is not None and r.fit.tuned
    }
    note = "Tuned on healthy validation scans: no lesion was seen."
    return FactTable("Tuning", ("Method", "trials", "chosen", "why"), tuple(sorted(found)), note)


def data_table(records: Sequence[CellRecord], names: Names) -> FactTable:
    """Each dataset: who is in it, and how it was prepared."""
    tested = {(names.dataset(r), "tested", *_use(r.data)) for r in records if r.data is not None}
    learned = {
        (training_title(r.training, BERCEA_2022), "learned from", *_use(r.training))
        for r in records
        if r.training is not None
    }
    columns = ("Dataset", "used", "subjects", "scans", "slices", "recipe", "prepared data")
    return FactTable("Data", columns, (*sorted(learned), *sorted(tested)))


def costs_table(records: Sequence[CellRecord], names: Names) -> FactTable:
    """What each method took: training, evaluation and memory."""
    rows = []
    for some in _grouped(records, names.method).values():
        fits = {r.fit.detector: r.fit.wall_s for r in some if r.fit is not None}
        jobs = _grouped(some, lambda r: (*_detector(r), r.spec.dataset)).values()
        scoring = sum(max(r.environment.wall_s for r in job) for job in jobs)
        memory = max(r.environment.peak_memory_mb for r in some)
        trained = f"{sum(fits.values()):.0f}" if fits else ""
        rows.append((names.method(some[0]), trained, f"{scoring:.0f}", f"{memory:.0f}"))
    note = (
        "Seconds of all seeds and datasets together, on the devices below. Memory is the peak of "
        "the whole program until then."
    )
    columns = ("Method", "training, s", "evaluation, s", "memory, MB")
    return FactTable("Costs", columns, tuple(rows), note)


def versions_table(records: Sequence[CellRecord]) -> FactTable:
    """The versions, the commit, the devices and the times of all cells."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        where = record.environment
        for name, version in where.versions.items():
            found[name].add(version)
        found["commit"].add(where.git_commit or "not known")
        found["device"].add(where.device)
    started = sorted(record.environment.started for record in records)
    rows = [(name, ", ".join(sorted(values))) for name, values in found.items()]
    times = [("first cell", started[0]), ("last cell", started[-1])]
    return FactTable("Versions", ("What", "in these cells"), (*rows, *times))


def failures_table(records: Sequence[CellRecord], names: Names) -> FactTable:
    """Why cells failed."""
    failed = [record for record in records if record.state == "failed"]
    groups = _grouped(failed, lambda r: (names.method(r), names.dataset(r), r.reason))
    rows = [(*key, str(len(some))) for key, some in groups.items()]
    return FactTable("Failures", ("Method", "dataset", "reason", "cells"), tuple(rows))


def exclusions_table(records: Sequence[CellRecord], names: Names) -> FactTable:
    """Which scans were left out, and why."""
    uses = [(names.dataset(r), r.data) for r in records]
    uses += [(training_title(r.training, BERCEA_2022), r.training) for r in records]
    rows = {(title, one.scan, one.reason) for title, use in uses if use for one in use.excluded}
    return FactTable("Exclusions", ("Dataset", "scan", "reason"), tuple(sorted(rows)))


def remarks_table(records: Sequence[CellRecord], names: Names) -> FactTable:
    """What a reader of the numbers must know, and which numbers could not be had."""
    found: defaultdict[str, tuple[dict[str, None], dict[str, None]]] = defaultdict(lambda: ({}, {}))
    for record in records:
        dataset = names.dataset(record)
        reasons: defaultdict[str, list[str]] = defaultdict(list)
        for metric, reason in record.missing.items():
            reasons[reason].append(metric)
        texts = [*record.notes, *(f"{', '.join(some)}: {why}" for why, some in reasons.items())]
        about_fit = record.fit.notes if record.fit is not None else ()
        for text, where in (*((one, dataset) for one in texts), *((one, "") for one in about_fit)):
            methods, datasets = found[text]
            methods[names.method(record)] = None
            if where:
                datasets[where] = None
    rows = [
        (text, ", ".join(methods), ", ".join(datasets))
        for text, (methods, datasets) in sorted(found.items())
    ]
    return FactTable("Remarks", ("Remark", "methods", "datasets"), tuple(rows))


def worst_tables(records: Sequence[CellRecord], names: Names) -> tuple[FactTable, ...]:
    """The scans of each dataset with the lowest Dice, a table per dataset, simulated ones apart."""
    scored = [r for r in records if r.group != "control" and r.spec.space == "template"]
    by_dataset = _grouped(scored, lambda r: (names.dataset(r), r.spec.protocol))
    tables = (_worst(some, names) for some in by_dataset.values())
    return tuple(table for table in tables if table.rows)


def _worst(records: Sequence[CellRecord], names: Names) -> FactTable:
    columns: dict[str, dict[str, list[float]]] = {}
    for record in records:
        column = columns.setdefault(f"{names.method(record)}, {record.spec.postprocessing}", {})
        for scan in record.scans:
            value = scan.metrics.get(_DICE)
            if value is not None:
                name = scan.subject if scan.session is None else f"{scan.subject}_{scan.session}"
                column.setdefault(name, []).append(value)
    columns = {title: scans for title, scans in columns.items() if scans}
    means: defaultdict[str, list[float]] = defaultdict(list)
    for scans in columns.values():
        for name, values in scans.items():
            means[name].append(fmean(values))
    order = sorted(means, key=lambda name: (fmean(means[name]), name))
    rows = [
        (name, *(f"{fmean(c[name]):.3f}" if name in c else "–" for c in columns.values()))
        for name in order[:WORST]
    ]
    count = f"{len(order)} scans with a Dice" if len(order) != 1 else "1 scan with a Dice"
    shown = f"; the lowest {WORST} are shown" if len(order) > WORST else ""
    by = ", the lowest mean of the row first" if len(order) > 1 else ""
    return FactTable(
        f"{names.dataset(records[0])}, protocol {records[0].spec.protocol}",
        ("Scan", *columns),
        tuple(rows),
        f"{count}{shown}{by}.",
    )


def several_states(records: Iterable[CellRecord]) -> tuple[str, ...]:
    """What is to be said of datasets whose cells stand on different data."""
    by_dataset = _grouped(records, lambda record: record.spec.dataset)
    return tuple(
        f"The numbers of {dataset} stand on different data ({', '.join(states)}) and do not "
        "compare: run it again with --overwrite all."
        for dataset, some in sorted(by_dataset.items())
        if (states := different_states(some))
    )


def _detector(record: CellRecord) -> tuple[str, str, str, int]:
    spec = record.spec
    return spec.method, spec.supervised_on, spec.params_hash, spec.seed


def _grouped(
    records: Iterable[CellRecord], key: Callable[[CellRecord], Any]
) -> dict[Any, list[CellRecord]]:
    """Records by a key, in the order in which keys are met; finished ones first."""
    found: dict[Any, list[CellRecord]] = {}
    for record in sorted(records, key=lambda one: one.state != "done"):
        found.setdefault(key(record), []).append(record)
    return found


def _use(use: DatasetUse | None) -> tuple[str, ...]:
    assert use is not None
    counts = (str(use.subjects), str(use.scans), str(use.slices))
    return *counts, use.recipe, use.manifest_hash


def _values(params: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {_short(value)}" for name, value in params.items())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
