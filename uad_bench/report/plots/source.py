"""What a figure is made from: the finished cells of one protocol, in rows and columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from uad_bench.cells import CellRecord, EvaluationSpace
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import Protocol
from uad_bench.plugins.registry import Registry
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.plots.style import Detectors, Ink, detectors_of, inks, notes_of
from uad_bench.report.publication import Publication
from uad_bench.report.tables.arrange import (
    Arrangement,
    Order,
    arrange,
    dataset_titles,
    method_title,
)
from uad_bench.report.tables.choice import Choice
from uad_bench.report.tables.states import different_data
from uad_bench.report.tables.versions import refuse_other_version


class NothingToDrawError(UadBenchError):
    """Results that do not have what a figure shows."""


@dataclass(frozen=True, slots=True)
class Source:
    """The cells of a figure.

    Attributes:
        root: the results folder.
        registry: where protocols and post-processings are found.
        protocol: the cells' protocol.
        space: whose voxels were scored.
        arrangement: datasets as rows, methods as columns, cells by position.
        detectors: the places of all methods of the folder, for their colours.
        failures: which cells failed, in sentences; none where none did.
        marks: what the marks of post-processings mean, likewise.
        metric: which metric is asked for; ``None`` for the protocol's first, or the figure's own.
        choice: what was chosen; the rest may give way where a figure has no room.
    """

    root: Path
    registry: Registry
    protocol: Protocol
    space: EvaluationSpace
    arrangement: Arrangement
    detectors: Detectors
    failures: tuple[str, ...]
    marks: tuple[str, ...]
    metric: str | None = None
    choice: Choice = field(default_factory=Choice)

    @property
    def notes(self) -> tuple[str, ...]:
        """All that a reader must know, a sentence each."""
        return *self.facts(range(len(self.arrangement.columns))), *self.marks

    def facts(self, columns: Sequence[int]) -> tuple[str, ...]:
        """Return what a reader must know of the cells in some columns, a sentence each."""
        return *notes_of(self.arrangement, columns), *self.failures

    def refuse_metric(self) -> None:
        """Refuse a metric that is asked for.

        Raises:
            UadBenchError: there is one.
        """
        if self.metric is not None:
            raise UadBenchError(
                f"--metric {self.metric}: this figure is of no metric of choice; leave it out"
            )

    def metric_of_scans(self, usual: str) -> str:
        """Return the metric that is asked for, or the usual one, for figures of single scans.

        Raises:
            UadBenchError: no scan has the metric that is asked for.
        """
        if self.metric is None:
            return usual
        _refuse_without(self.metric, self.records)
        return self.metric

    @property
    def inks(self) -> tuple[Ink, ...]:
        """How each column is drawn."""
        return inks(self.arrangement, self.detectors)

    @property
    def records(self) -> list[CellRecord]:
        """All cells."""
        return [record for some in self.arrangement.own.values() for record in some]

    def metric_title(self, metric: str) -> str:
        """Return what tables call a metric."""
        return self.protocol.metric(metric).title

    def people(self, place: tuple[int, int], metric: str) -> dict[str, float]:
        """Return the metric of each person, the mean over scans and seeds; empty without any.

        Args:
            place: row and column.
            metric: its name.
        """
        found: dict[str, list[float]] = {}
        for record in self.arrangement.own.get(place, ()):
            for scan in record.scans:
                value = scan.metrics.get(metric)
                if value is not None:
                    found.setdefault(scan.subject, []).append(value)
        return {name: float(np.mean(values)) for name, values in sorted(found.items())}

    def value(self, place: tuple[int, int], metric: str) -> float | None:
        """Return a metric of a dataset, the mean over seeds; ``None`` where no seed has one."""
        numbers = [
            found.value
            for record in self.arrangement.own.get(place, ())
            if (found := record.metrics.get(metric)) is not None and found.value is not None
        ]
        return float(np.mean(numbers)) if numbers else None


def make_source(
    records: Sequence[CellRecord],
    root: Path,
    registry: Registry,
    *,
    protocol: str = "strict",
    space: EvaluationSpace = "template",
    metric: str | None = None,
    choice: Choice | None = None,
    order: Order | None = None,
    everyone: Sequence[CellRecord] = (),
    paper: Publication = BERCEA_2022,
) -> Source:
    """Arrange the cells of a figure.

    Args:
        records: the cells.
        root: the results folder.
        registry: where their protocol and post-processings are found.
        protocol: whose cells are drawn.
        space: whose voxels.
        metric: which metric is asked for.
        choice: what of all cells the user chose.
        order: of datasets and methods; that of the records if not given.
        everyone: all cells of the folder, whose methods keep their colours whatever is chosen.
        paper: the paper whose names the figure follows.

    Raises:
        UadBenchError: nothing to draw, a metric that no cell has, cells of one dataset that were
            computed on different data, or cells of another version of the protocol.
    """
    chosen = registry.protocol(protocol)
    mine = [one for one in records if (one.spec.protocol, one.spec.space) == (protocol, space)]
    done = [record for record in mine if record.state == "done"]
    if not done:
        raise NothingToDrawError(
            f"{root}: no finished cell of protocol {protocol} in {space} space to draw"
        )
    variants = registry.postprocessings({record.spec.postprocessing for record in done})
    refuse_other_version(done, [chosen], variants)
    if metric is not None and all(metric not in record.metrics for record in done):
        _refuse_without(metric, done)
    arrangement = arrange(done, (), variants, paper, order)
    everywhere = range(len(arrangement.rows)), range(len(arrangement.columns))
    if text := different_data(arrangement, *everywhere):
        raise NothingToDrawError(text)
    shown = {column.postprocessing for column in arrangement.columns}
    marks = tuple(
        f"{one.mark}: {one.caption}." for one in variants if one.mark and one.name in shown
    )
    titles = dataset_titles(mine, paper)
    failures = tuple(_failures(mine, titles, paper))
    detectors = detectors_of(everyone or records)
    return Source(
        root,
        registry,
        chosen,
        space,
        arrangement,
        detectors,
        failures,
        marks,
        metric,
        choice or Choice(),
    )


def _failures(
    records: Iterable[CellRecord], titles: Mapping[str, str], paper: Publication
) -> Iterator[str]:
    """Say which cells failed: those that are not drawn, and those of which other seeds are."""
    seeds: defaultdict[tuple[str, ...], dict[bool, list[int]]] = defaultdict(dict)
    names: dict[tuple[str, ...], tuple[str, str]] = {}
    for one in records:
        spec = one.spec
        key = spec.method, spec.supervised_on, spec.params_hash, spec.dataset, spec.postprocessing
        seeds[key].setdefault(one.state == "failed", []).append(spec.seed)
        names[key] = method_title(one, paper), titles[spec.dataset]
    whole: defaultdict[str, dict[str, None]] = defaultdict(dict)
    part: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for cells, found in seeds.items():
        method, dataset = names[cells]
        if failed := found.get(True):
            some = f"seed{'s' * (len(failed) > 1)} {', '.join(map(str, sorted(failed)))}"
            kind, label = (part, f"{method} ({some})") if False in found else (whole, method)
            kind[label][dataset] = None
    for text, kind in (
        ("Failed, and not drawn", whole),
        ("Drawn without seeds that failed", part),
    ):
        if kind:
            said = (f"{method} on {', '.join(some)}" for method, some in kind.items())
            yield f"{text}: {'; '.join(said)}."


def _refuse_without(metric: str, records: Iterable[CellRecord]) -> None:
    """Refuse a metric that no scan has."""
    known = sorted({name for record in records for scan in record.scans for name in scan.metrics})
    if metric not in known:
        raise UadBenchError(f"--metric {metric}: no scan has it; there are: {', '.join(known)}")
