"""One method against every other: average improvement and paired tests, like with like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from statistics import fmean

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import MetricInfo
from uad_bench.evaluation.statistics.people import (
    differing,
    holm,
    paired_comparison,
    smallest_p,
    subject_means,
)
from uad_bench.report.tables.arrange import Arrangement
from uad_bench.report.tables.model import Cell, Column, Panel, Row
from uad_bench.report.tables.notes import Footnotes, people_in_words
from uad_bench.report.tables.values import average_improvement

_LEVEL = 0.05


def with_improvement(
    panel: Panel, method: str, notes: Footnotes, comparable: Sequence[bool]
) -> Panel:
    """Add the row "Average improvement": ``method`` against each other column.

    A column is compared with ``method`` under the same post-processing and from the same source
    (our records, or the paper). A supervised method is compared with supervised ones only.

    Args:
        panel: the numbers.
        method: its name.
        notes: takes what must be said of the datasets that it stands on.
        comparable: of each row, whether our numbers there stand on the same data.

    Raises:
        UadBenchError: if ``method`` has no column.
    """
    label = method_label(panel.columns, method)
    cells = []
    for index, column in enumerate(panel.columns):
        partner = _partner(panel.columns, column, method)
        change = None
        if partner is not None and partner != index:
            change = average_improvement(
                _values(panel, partner, comparable), _values(panel, index, comparable)
            )
        if change is None:
            cells.append(Cell(style="percent"))
            continue
        percent, datasets = change
        marks: tuple[int, ...] = ()
        if datasets < len(panel.rows):
            marks = (
                notes.mark(
                    f"Over {datasets} of {len(panel.rows)} datasets: those where both have a value "
                    "and stand on the same data."
                ),
            )
        cells.append(Cell("value", value=percent, style="percent", marks=marks))
    row = Row("", f"Average improvement of {label}")
    return replace(panel, rows=(*panel.rows, row), cells=(*panel.cells, tuple(cells)))


def paired_tests(
    arrangement: Arrangement,
    metric: MetricInfo,
    method: str,
    notes: Footnotes,
    comparable: Sequence[bool],
) -> Panel:
    """p-values of ``method`` against each other column of ours, patient by patient.

    Wilcoxon's signed-rank test on the subjects both have, each subject's value averaged over
    sessions and seeds; Holm's correction over the comparisons of one dataset. A supervised method
    is compared with supervised ones only.

    Args:
        arrangement: the cells.
        metric: what is tested.
        method: its name.
        notes: takes which p-values cannot be reached.
        comparable: of each row, whether its numbers stand on the same data; others are not tested.

    Raises:
        UadBenchError: if ``method`` has no column.
    """
    label = method_label(arrangement.columns, method)
    taught = _is_supervised(arrangement.columns, method)
    own = [
        index
        for index, one in enumerate(arrangement.columns)
        if one.group != "published" and (one.group == "supervised") == taught
    ]
    columns = tuple(arrangement.columns[index] for index in own)
    rows, cells = [], []
    for at, row in enumerate(arrangement.rows):
        subjects = [
            _subject_values(arrangement.own.get((at, index), ()), metric.name) for index in own
        ]
        tested: dict[int, float] = {}
        counted: list[int] = []
        for index, column in enumerate(columns if comparable[at] else ()):
            partner = _partner(columns, column, method)
            if partner not in (None, index) and subjects[partner].keys() & subjects[index].keys():
                tested[index] = paired_comparison(subjects[partner], subjects[index])
                counted.append(differing(subjects[partner], subjects[index]))
        corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
        cells.append(
            tuple(
                Cell("value", value=corrected[index], style="p")
                if index in corrected
                else Cell(style="p")
                for index in range(len(columns))
            )
        )
        marks = row.marks
        if text := _out_of_reach(counted):
            marks = (*marks, notes.mark(text))
        rows.append(replace(row, marks=marks))
    title = f"{metric.title}: p of {label} against each (paired Wilcoxon, Holm)"
    return Panel(f"{metric.name}_p", title, "", None, columns, tuple(rows), tuple(cells))


def _out_of_reach(counted: Sequence[int]) -> str:
    """What p-values the tests of one dataset cannot reach, where 0.05 is among them.

    Args:
        counted: per test, the number of subjects with a difference; may be empty.
    """
    if not counted:
        return ""
    raw, corrected = smallest_p(counted)
    if corrected <= _LEVEL:
        return ""
    text = f"With differences in {people_in_words(max(counted))} no p below {raw:.3f} is possible"
    if corrected > raw:
        text += f", and after Holm's correction for {len(counted)} comparisons none below "
        text += f"{corrected:.3f}"
    return f"{text}."


def _subject_values(records: Sequence[CellRecord], metric: str) -> dict[str, float]:
    """A subject's mean over the seeds in which it has a value."""
    by_seed = [subject_means(record.scans, metric) for record in records]
    subjects = dict.fromkeys(subject for values in by_seed for subject in values)
    return {
        subject: fmean(values[subject] for values in by_seed if subject in values)
        for subject in subjects
    }


def _values(panel: Panel, column: int, comparable: Sequence[bool]) -> dict[str, float]:
    """The numbers of a column by dataset; of ours, those that compare with others of their row."""
    is_printed = panel.columns[column].group == "published"
    return {
        row.title: cell.value
        for row, line, compares in zip(panel.rows, panel.cells, comparable, strict=True)
        if (cell := line[column]).value is not None and (compares or is_printed)
    }


def refuse_lonely(columns: Sequence[Column], method: str) -> None:
    """Refuse a method that has no column, or no other to be compared with.

    Raises:
        UadBenchError: saying which.
    """
    label = method_label(columns, method)
    for index, column in enumerate(columns):
        if column.method != method and _partner(columns, column, method) not in (None, index):
            return
    raise UadBenchError(
        f"--compare {method}: nothing shown can be compared with {label}, which needs another "
        "method under the same post-processing: choose more with --methods, --postprocessing or "
        "--controls"
    )


def method_label(columns: Sequence[Column], method: str) -> str:
    """How the table writes ``method``.

    Raises:
        UadBenchError: if it has no column.
    """
    for column in columns:
        if column.method == method:
            return column.label
    names = sorted({column.method for column in columns})
    near = get_close_matches(method, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UadBenchError(
        f"--compare {method}: no such method in these results.{hint} Available: {', '.join(names)}"
    )


def _is_supervised(columns: Sequence[Column], method: str) -> bool:
    return any(one.method == method and one.group == "supervised" for one in columns)


def _partner(columns: Sequence[Column], column: Column, method: str) -> int | None:
    """Where ``method`` stands under the same post-processing and from the same source."""
    for index, one in enumerate(columns):
        same_source = all(
            (one.group == group) == (column.group == group) for group in ("published", "supervised")
        )
        if one.method == method and one.postprocessing == column.postprocessing and same_source:
            return index
    return None
