"""What methods reached on each subject: a number per subject, or its share of a pooled one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import MetricInfo, Pooled, Protocol
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.pooling import pseudo_values
from uad_bench.evaluation.statistics.comparison import Paired
from uad_bench.evaluation.statistics.intervals import FEWEST
from uad_bench.evaluation.statistics.people import subject_means
from uad_bench.histogram_files import load_histograms

_ONE_SUBJECT = "they have one subject in common, and a pooled number needs two"
_ONE_PATIENT = "no subject or one alone has lesions, and without them a pooled number has no value"


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two methods on one dataset.

    Attributes:
        values: what they reached on the subjects that have a value in every seed of both; ``None``
            where nobody has.
        dropped: subjects that have a value somewhere, but not everywhere.
        enough: whether an interval can be had as far as the number of patients tells.
        why: why they are not compared, where it is not that they have no subject in common.
    """

    values: Paired | None
    dropped: int
    enough: bool = True
    why: str = ""

    @property
    def subjects(self) -> int:
        """How many subjects are compared."""
        return 0 if self.values is None else len(self.values.differences)


def refuse_pooled(
    protocol: Protocol,
    metric: MetricInfo,
    records: Sequence[CellRecord],
    *,
    jackknife: bool = False,
) -> None:
    """Refuse a metric of all subjects together, of which no single one has a share.

    Args:
        protocol: the protocol.
        metric: the metric.
        records: finished cells.
        jackknife: whether a pooled metric that can be computed anew without each subject will do.

    Raises:
        UadBenchError: naming the metrics that can be taken.
    """
    per_subject = {
        name
        for record in records
        for scan in record.scans
        for name in scan.metrics
        if name in record.metrics and record.metrics[name].subjects
    }
    usable = [
        one.name
        for one in protocol.metrics
        if (one.name in per_subject or (jackknife and one.pooled))
        and (one.better or not metric.better)
    ]
    if metric.name not in usable:
        raise UadBenchError(
            f"--metric {metric.name}: a number of all subjects together, of which no single one "
            f"has a share; available: {', '.join(usable) or 'none'}"
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Reads the numbers of single subjects behind cells, each cell once.

    Attributes:
        root: the results folder.
        metric: which number.
    """

    root: Path
    metric: MetricInfo
    _numbers: dict[str, Mapping[str, float]] = field(default_factory=dict)
    _histograms: dict[str, Mapping[str, ScoreHistogram]] = field(default_factory=dict)

    def numbers(self, record: CellRecord) -> Mapping[str, float]:
        """The metric of each subject of a cell, averaged over sessions."""
        name = record.spec.name
        if name not in self._numbers:
            self._numbers[name] = subject_means(record.scans, self.metric.name)
        return self._numbers[name]

    def pair(self, first: Sequence[CellRecord], second: Sequence[CellRecord]) -> Pair:
        """What two methods reached on the subjects that both have.

        Args:
            first: finished cells of one method on one dataset, one per seed.
            second: those of the other.
        """
        if self.metric.pooled is not None:
            return self._pooled_pair(first, second, self.metric.pooled)
        tables = [[self.numbers(record) for record in some] for some in (first, second)]
        shared, dropped = _shared([one for some in tables for one in some])
        if not shared:
            return Pair(None, dropped)
        one, other = (np.array([[own[name] for name in shared] for own in t]) for t in tables)
        return Pair(Paired(one, other), dropped)

    def _pooled_pair(
        self, first: Sequence[CellRecord], second: Sequence[CellRecord], statistic: Pooled
    ) -> Pair:
        """The same, where a subject's number is what it contributes to that of all together."""
        tables = [[self._subjects(record) for record in some] for some in (first, second)]
        shared, dropped = _shared([one for some in tables for one in some])
        if len(shared) < 2:
            return Pair(None, dropped + len(shared), why=_ONE_SUBJECT if shared else "")
        at = get_args(Pooled).index(statistic)

        def contributions(some: Sequence[Mapping[str, ScoreHistogram]]) -> NDArray[np.float64]:
            return np.array([pseudo_values([own[name] for name in shared])[at] for own in some])

        one, other = map(contributions, tables)
        if not (np.isfinite(one).all() and np.isfinite(other).all()):
            return Pair(None, dropped + len(shared), why=_ONE_PATIENT)
        diseased = sum(tables[0][0][name].lesion_voxels > 0 for name in shared)
        return Pair(Paired(one, other), dropped, diseased >= FEWEST)

    def _subjects(self, record: CellRecord) -> Mapping[str, ScoreHistogram]:
        """The scores of each subject of a cell, whole slices, its sessions added."""
        name = record.spec.name
        if name not in self._histograms:
            if record.histograms is None:
                raise UadBenchError(
                    f"{name} has no histograms, which {self.metric.name} is compared by: run it "
                    "again, or export it with them"
                )
            stored = load_histograms(self.root / record.histograms)
            scans: dict[str, list[ScoreHistogram]] = {}
            for scan in record.scans:
                scans.setdefault(scan.subject, []).append(stored[f"{scan.name}/slice"])
            self._histograms[name] = {
                subject: ScoreHistogram.pooled(own) for subject, own in scans.items()
            }
        return self._histograms[name]


def _shared(tables: Sequence[Mapping[str, object]]) -> tuple[tuple[str, ...], int]:
    """The subjects that are in all tables, in the order of the first, and how many are not."""
    everyone = dict.fromkeys(name for table in tables for name in table)
    shared = tuple(name for name in everyone if all(name in table for table in tables))
    return shared, len(everyone) - len(shared)
