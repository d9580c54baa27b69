"""From records to the cells of a table: seeds together, failures named, the best ranked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from uad_bench.cells import CellRecord
from uad_bench.evaluation.protocol import MetricInfo
from uad_bench.evaluation.values import Direction, Metric
from uad_bench.report.publication import PublishedNumber
from uad_bench.report.tables.model import Cell, CellState, Column, Style, format_number
from uad_bench.report.tables.notes import Footnotes, sentence
from uad_bench.report.tables.states import different_trainings, trainings_differ


@dataclass(frozen=True, slots=True)
class Seeds:
    """What the records of all seeds of one method, dataset and post-processing say.

    Attributes:
        failures: why seeds failed, in sentences.
        done: whether any finished.
        remarks: what must be known of the numbers, in sentences.
        found: the numbers of the seeds that finished, by metric.
        missing: why they have none, likewise.
    """

    failures: tuple[str, ...]
    done: bool
    remarks: tuple[str, ...]
    found: Mapping[str, list[Metric]]
    missing: Mapping[str, list[str]]

    @classmethod
    def of(cls, records: Sequence[CellRecord], metrics: Iterable[str]) -> Seeds:
        """Look at every record once.

        Args:
            records: one per seed; may be empty.
            metrics: those that are shown.
        """
        done = [record for record in records if record.state == "done"]
        taught = different_trainings(done)
        found: dict[str, list[Metric]] = {name: [] for name in metrics}
        missing: defaultdict[str, list[str]] = defaultdict(list)
        for record in done:
            numbers = record.metrics
            for name, some in found.items():
                if (number := numbers.get(name)) is not None:
                    some.append(number)
            for name, reason in record.missing.items():
                missing[name].append(reason)
        remarks = (*_remarks(done), *([trainings_differ(taught)] if taught else ()))
        return cls(_failures(records), bool(done), remarks, found, missing)


def own_cell(seeds: Seeds, metric: MetricInfo, notes: Footnotes, *, intervals: bool) -> Cell:
    """One cell from the records of all seeds.

    The value is the mean over the seeds that finished, the ends of the interval likewise.

    Args:
        seeds: what they say.
        metric: what the metric is.
        notes: takes the reasons of failures, what the records say of their numbers, and the counts
            of penalised and skipped scans.
        intervals: whether to show the 95 % intervals.
    """
    marks = [notes.mark(text) for text in seeds.failures]
    found = seeds.found[metric.name]
    if not found:
        state: CellState = "failed" if seeds.failures and not seeds.done else "absent"
        return Cell(state, marks=tuple(marks))
    marks += [notes.mark(text) for text in seeds.remarks]
    missing = _missing(seeds.missing.get(metric.name, ()), metric)
    marks += [notes.mark(text) for text in missing]
    if not missing and (text := _counts(found, metric.undefined)):
        marks.append(notes.mark(text))
    style: Style = "distance" if found[0].unit else "ratio"
    values = [one.value for one in found if one.value is not None]
    if not values:
        return Cell("undefined", style=style, marks=tuple(marks))
    kept = [one for one in found if one.value is not None]
    lows = [one.low for one in kept if one.low is not None]
    highs = [one.high for one in kept if one.high is not None]
    bounded = len(lows) == len(highs) == len(kept)
    return Cell(
        "value",
        value=fmean(values),
        sd=stdev(values) if len(values) > 1 else None,
        seeds=len(values),
        low=fmean(lows) if bounded else None,
        high=fmean(highs) if bounded else None,
        bracketed=bounded and intervals,
        style=style,
        marks=tuple(marks),
    )


def published_cell(
    number: PublishedNumber | None,
    ours: Cell,
    notes: Footnotes,
    printed_in: str = "",
    unit: str = "",
) -> Cell:
    """One cell from a printed number, which takes along what the paper says of it.

    Args:
        number: the number; ``None`` where the paper has none.
        ours: the same of our own results, from which its difference is taken.
        notes: takes what the paper says.
        printed_in: its unit.
        unit: that of our own results, if there are any: a number in another one has no difference.
    """
    if number is None:
        return Cell()
    style: Style = "distance" if number.metric.startswith("hd") else "ratio"
    if number.value is None:
        return Cell("undefined", style=style)
    remarks = [part for part in number.note.split("; ") if part and "trained on" not in part]
    marks = tuple(notes.mark(f"The paper: {remark}.") for remark in remarks)
    if unit and unit != printed_in:
        marks += (notes.mark(f"It fits {printed_in}, and does not compare with ours in {unit}."),)
        ours = Cell()
    difference = None if ours.value is None else ours.value - number.value
    return Cell("value", value=number.value, difference=difference, style=style, marks=marks)


def dataset_cell(records: Sequence[CellRecord], metric: str) -> Cell:
    """One cell for what a metric says of the dataset, the same for every method.

    Args:
        records: those of one dataset; the first that has a value gives it.
        metric: name of the metric.
    """
    found = (one.metrics[metric].value for one in records if metric in one.metrics)
    value = next((one for one in found if one is not None), None)
    return Cell("undefined" if value is None else "value", value=value, style="share")


def ranked(
    cells: Sequence[Cell],
    columns: Sequence[Column],
    better: Direction | None,
    target: float | None = None,
) -> tuple[Cell, ...]:
    """Mark the best and the second best of one row, as shown.

    With a target the nearest is the best, from whichever side; else the highest or the lowest.
    Only unsupervised detectors of our own compete: controls, supervised methods and published
    numbers do not. Numbers that look the same rank the same. A lone detector is not the best.
    """
    shown: dict[int, float] = {
        index: float(format_number(cell.value, cell.style))
        for index, (cell, column) in enumerate(zip(cells, columns, strict=True))
        if cell.value is not None and column.group == "detector"
    }
    if target is not None:
        shown = {index: round(abs(value - target), 9) for index, value in shown.items()}
        better = "lower"
    if len(shown) < 2 or better is None:
        return tuple(cells)
    best_first = sorted(set(shown.values()), reverse=better == "higher")
    rank = {value: place for place, value in enumerate(best_first[:2], start=1)}
    return tuple(
        replace(cell, rank=rank.get(shown[index], 0)) if index in shown else cell
        for index, cell in enumerate(cells)
    )


def average_improvement(
    method: Mapping[str, float], other: Mapping[str, float]
) -> tuple[float, int] | None:
    """Unweighted mean over datasets of the relative change of ``method`` against ``other``.

    This is the paper's "average improvement (AUPRC)" (section 4): 154.5 % over GM-IR, 177.5 %
    over the VAE and 35.5 % over the GMVAE follow from its Table 2.

    Args:
        method: values by dataset.
        other: values by dataset; a dataset counts where both have one and this one is above 0.

    Returns:
        The mean in percent and the number of datasets; ``None`` where no dataset counts.
    """
    shared = [name for name in method if other.get(name, 0.0) > 0]
    if not shared:
        return None
    return 100 * fmean(method[name] / other[name] - 1 for name in shared), len(shared)


def _failures(records: Sequence[CellRecord]) -> tuple[str, ...]:
    several = len(records) > 1
    return tuple(
        sentence(f"Failed{f' with seed {record.spec.seed}' if several else ''}: {record.reason}")
        for record in records
        if record.state == "failed"
    )


def _missing(reasons: Iterable[str], metric: MetricInfo) -> list[str]:
    """Why a metric could not be had, where it is not that no scan has a value."""
    own = (text for text in reasons if text != metric.undefined)
    return list(dict.fromkeys(sentence(f"{text[:1].upper()}{text[1:]}") for text in own))


def _remarks(records: Sequence[CellRecord]) -> tuple[str, ...]:
    """What the records say of their numbers, of each method by name."""
    texts = (f"{one.method_title}: {note}" for one in records for note in one.notes)
    return tuple(dict.fromkeys(sentence(text) for text in texts))


def _counts(metrics: Sequence[Metric], undefined: str) -> str:
    """How many scans did not enter a number as measured, in words."""
    penalised = sum(one.penalised for one in metrics)
    skipped = sum(one.skipped for one in metrics)
    seeds = f", over {len(metrics)} seeds" if len(metrics) > 1 else ""
    parts = []
    if penalised:
        parts.append(
            f"{_scans(penalised)} with lesions entered with the penalty of an empty prediction"
        )
    if skipped:
        parts.append(f"{_scans(skipped)} left out: {undefined}")
    return f"{'; '.join(parts)}{seeds}." if parts else ""


def _scans(count: int) -> str:
    return "1 scan" if count == 1 else f"{count} scans"
