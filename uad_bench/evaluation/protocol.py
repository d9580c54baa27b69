"""The contract of a protocol: what it says about itself, and how it evaluates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scored import Evaluation, MeasuredScan, ScanSource, ScoredScan
from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.statistics.intervals import Interval
from uad_bench.evaluation.values import Direction, Metric

Shown = Literal["always", "where known", "on request"]
"""When a metric is in the table of its protocol: where nobody asks for others; only where some
dataset has a value for it; or only where it is asked for."""

Pooled = Literal["average_precision", "max_dice"]
"""A statistic of the voxels of all scans together, over whole slices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """What a metric is, and how tables show it.

    Attributes:
        name: its name on the command line and in cells.
        title: what tables call it.
        unit: ``""`` for a ratio, else such as ``mm``.
        better: which direction is better; ``None`` where neither is.
        target: the value that is best, where it is neither the highest nor the lowest.
        shown: when it is in a table.
        undefined: why a scan has no value for it, in words.
        chance: the metric that says what a constant score reaches; it is in a column beside.
        needs: a metric without which it says little; it is shown wherever this one is.
        notes: sentences that a table says wherever it is shown.
        pooled: the statistic that it is, where it is one of all scans' voxels together, which a
            comparison of methods computes anew without each subject.
    """

    name: str
    title: str
    unit: str = ""
    better: Direction | None = "higher"
    target: float | None = None
    shown: Shown = "on request"
    undefined: str = "no lesion in the mask"
    chance: str = ""
    needs: str = ""
    notes: tuple[str, ...] = ()
    pooled: Pooled | None = None

    def of(
        self,
        value: float | None,
        interval: Interval | None = None,
        *,
        subjects: int = 0,
        penalised: int = 0,
        skipped: int = 0,
    ) -> Metric:
        """The metric with a value; the other arguments are those of :class:`Metric`."""
        return Metric(
            value=value,
            low=None if interval is None else interval.low,
            high=None if interval is None else interval.high,
            unit=self.unit,
            better=self.better,
            target=self.target,
            subjects=subjects,
            penalised=penalised,
            skipped=skipped,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One way to evaluate. A plugin file assigns one to a public name of its module.

    Attributes:
        name: its name on the command line.
        version: raised whenever a number could change.
        caption: what a table's caption says of it, plain text that names the version.
        description: what it does, in one paragraph.
        metrics: the numbers it reports, in the order of its tables.
        measure: what it says of one scan, given the scan and the pooled in-brain scores of healthy
            validation scans. Without those (``None``) it gives the value ``None`` to metrics that
            need them. Scans are measured in any order and in several processes.
        combine: what it says of the dataset, given what it said of every scan, in the dataset's
            order, the scans, and the scores of healthy validation scans. ``missing`` says why a
            metric has no value.
        reads_again: whether ``combine`` reads the scans. Then their scores are kept until it did.
    """

    name: str
    version: int
    caption: str
    description: str
    metrics: tuple[MetricInfo, ...]
    measure: Callable[[ScoredScan, ScoreHistogram | None], MeasuredScan]
    combine: Callable[[Sequence[MeasuredScan], ScanSource, ScoreHistogram | None], Evaluation]
    reads_again: bool = False

    def metric(self, name: str) -> MetricInfo:
        """What a metric is; one that it does not declare is called by its name."""
        known = (one for one in self.metrics if one.name == name)
        return next(known, MetricInfo(name=name, title=name))

    def evaluate(
        self,
        scans: ScanSource,
        validation: ScoreHistogram | None,
        keep: Callable[[MeasuredScan], MeasuredScan] = lambda scan: scan,
    ) -> Evaluation:
        """Evaluate one detector's scores on one dataset.

        Args:
            scans: called to start reading; must yield the same scans every time, so that no more
                than one has to be in memory.
            validation: in-brain scores of healthy validation scans, where there are any.
            keep: is given each measured scan, and returns it with its histograms elsewhere, such
                as in a file.

        Raises:
            UadBenchError: if there are no scans, two have one name, a threshold needs healthy
                validation voxels and there are none, or the metrics are not those declared.
        """
        measured = [keep(self.measure(scan, validation)) for scan in scans()]
        return self.combined(measured, scans, validation)

    def combined(
        self,
        measured: Sequence[MeasuredScan],
        scans: ScanSource,
        validation: ScoreHistogram | None,
    ) -> Evaluation:
        """Evaluate scans that were measured, here or elsewhere.

        Args:
            measured: what :attr:`measure` said of every scan, in the dataset's order.
            scans: the same scans; read only where :attr:`reads_again` says so.
            validation: what the scans were measured with.

        Raises:
            UadBenchError: as :meth:`evaluate`.
        """
        _refuse_names([one.name for one in measured])
        source = scans if self.reads_again else self._unread
        found = self.combine(measured, source, validation)
        declared = tuple(one.name for one in self.metrics)
        if tuple(found.metrics) != declared:
            raise UadBenchError(
                f"protocol {self.name} declares the metrics {', '.join(declared)}, and measured "
                f"{', '.join(found.metrics)}: they must be the same, in the same order"
            )
        undefined = {one.name: one.undefined for one in self.metrics}
        reasons = {
            name: found.missing.get(name, undefined[name])
            for name, metric in found.metrics.items()
            if metric.value is None
        }
        return replace(found, missing=reasons)

    def _unread(self) -> Iterator[ScoredScan]:
        raise UadBenchError(
            f"protocol {self.name} reads the scans again: it must say so with reads_again=True"
        )


def validation_histogram(scans: Iterable[ScoredScan]) -> ScoreHistogram:
    """The pooled in-brain scores of healthy validation scans, from which thresholds come."""
    return ScoreHistogram.pooled(scan.brain_histogram() for scan in scans)


def _refuse_names(names: Sequence[str]) -> None:
    """Refuse an empty dataset and two scans of one name."""
    if not names:
        raise UadBenchError("there is no scan to evaluate: `uad-bench data` shows what was found")
    (name, count), *_ = Counter(names).most_common(1)
    if count > 1:
        raise UadBenchError(
            f"two scans are called {name}: give every scan of a subject its own session"
        )
