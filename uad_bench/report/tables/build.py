"""From cell records to a table: the paper's Tables 2, 4 and 5 for whatever was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from uad_bench.cells import CellRecord, EvaluationSpace
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import MetricInfo, Protocol
from uad_bench.evaluation.values import Direction
from uad_bench.report.bercea2022 import BERCEA_2022
from uad_bench.report.publication import PrintedTable, Publication, PublishedNumber
from uad_bench.report.tables.arrange import Arrangement, Order, arrange
from uad_bench.report.tables.compare import paired_tests, refuse_lonely, with_improvement
from uad_bench.report.tables.metrics import chosen_metrics, published_metrics
from uad_bench.report.tables.model import Cell, Column, Panel, Rows, Table
from uad_bench.report.tables.notes import (
    Footnotes,
    basis,
    caption,
    column_marks,
    legend,
    row_marks,
)
from uad_bench.report.tables.states import different_states
from uad_bench.report.tables.values import Seeds, dataset_cell, own_cell, published_cell, ranked
from uad_bench.report.tables.versions import refuse_other_version


def build_table(
    records: Sequence[CellRecord],
    protocol: Protocol,
    postprocessings: Sequence[PostProcessing],
    *,
    form: PrintedTable | None = None,
    rows: Rows | None = None,
    order: Order | None = None,
    space: EvaluationSpace = "template",
    metrics: Sequence[str] | None = None,
    intervals: bool = False,
    published: Sequence[PublishedNumber] = (),
    compare: str | None = None,
    paper: Publication = BERCEA_2022,
) -> Table:
    """Make the table of one protocol.

    Args:
        records: cell records; those of other protocols and post-processings are passed over.
        protocol: the evaluation protocol.
        postprocessings: the variants to show, in the order of columns.
        form: the paper's table whose form it takes.
        rows: what its rows are; as it fits if not said.
        order: of rows and columns; that of the records if not given.
        space: the voxels that were scored; records of the other are passed over.
        metrics: names of metrics; those of the form, or the protocol's own, if not given.
        intervals: whether to show 95 % intervals.
        published: the paper's numbers, to stand beside ours; alone where there are no records.
        compare: a method; its average improvement over every other is added, and, where the
            first metric is a mean over subjects, the paired tests.
        paper: the paper whose order and names the table follows, and whose numbers they are.

    Raises:
        UadBenchError: if there is nothing to show, a metric or method is unknown, or numbers
            follow another version of the protocol than its caption.
    """
    variants = {one.name for one in postprocessings}
    mine = [
        record
        for record in records
        if (record.spec.protocol, record.spec.space) == (protocol.name, space)
        and record.spec.postprocessing in variants
    ]
    if records and not mine:
        others = sorted({record.spec.protocol for record in records})
        if protocol.name in others:
            raise UadBenchError(f"no results in {space} space under protocol {protocol.name}")
        raise UadBenchError(
            f"no results under protocol {protocol.name}; there are some under {', '.join(others)}: "
            f"say --protocol {others[0]}"
        )
    refuse_other_version(mine, [protocol], postprocessings)
    printed = [number for number in published if number.postprocessing in variants]
    if not mine and not printed:
        raise UadBenchError("nothing to show: no results and no published numbers")
    kind = protocol.name if mine else "published"
    label = f"{kind}-native" if space == "native" else kind
    if form is not None and metrics is None:
        metrics = [name for group in form.metrics for name in group]
    names = (
        chosen_metrics(metrics, protocol, mine)
        if mine
        else published_metrics(metrics, paper.metrics)
    )
    chosen = [protocol.metric(name) for name in names]
    arrangement = arrange(
        mine,
        [number for number in printed if number.metric in names],
        postprocessings,
        paper,
        order,
    )
    notes = Footnotes()
    arrangement = _marked(arrangement, notes)
    if compare is not None:
        refuse_lonely(arrangement.columns, compare)
    comparable = [not different_states(some) for some in arrangement.by_row]
    seeds = {at: Seeds.of(some, names) for at, some in arrangement.own.items()}
    panels = []
    for metric in chosen:
        panel = _panel(arrangement, seeds, metric, notes, comparable, intervals=intervals)
        if compare is not None and metric.name == "auprc":
            panel = with_improvement(panel, compare, notes, comparable)
        panel = _with_chance(panel, metric.chance, arrangement)
        panels.append(panel.without_empty_columns())
    explained = legend(
        arrangement,
        [cell for one in panels for row in one.cells for cell in row],
        intervals=intervals,
    )
    if compare is not None and _is_mean_over_subjects(names[0], mine):
        panels.append(paired_tests(arrangement, chosen[0], compare, notes, comparable))
    return Table(
        name=f"uad-bench-{label}" if form is None else f"uad-bench-table{form.number}",
        protocol=label,
        caption=caption(mine, arrangement, protocol, form),
        panels=tuple(panels),
        notes=(*explained, *notes.notes()),
        basis=basis(mine, arrangement, protocol, chosen, postprocessings),
        rows=rows,
        beside=() if form is None else form.metrics,
    )


def _marked(arrangement: Arrangement, notes: Footnotes) -> Arrangement:
    rows = tuple(
        replace(row, marks=row_marks(some, notes))
        for row, some in zip(arrangement.rows, arrangement.by_row, strict=True)
    )
    columns = tuple(
        replace(column, marks=column_marks(column, arrangement.columns, notes))
        for column in arrangement.columns
    )
    return replace(arrangement, rows=rows, columns=columns)


def _is_mean_over_subjects(metric: str, records: Sequence[CellRecord]) -> bool:
    """Whether subjects have values of their own, which can be compared."""
    return any(one.metrics[metric].subjects for one in records if metric in one.metrics)


def _panel(
    arrangement: Arrangement,
    seeds: Mapping[tuple[int, int], Seeds],
    metric: MetricInfo,
    notes: Footnotes,
    comparable: Sequence[bool],
    *,
    intervals: bool,
) -> Panel:
    """The numbers of one metric; those of a row that is comparable are ranked."""
    found = (number for some in seeds.values() for number in some.found[metric.name])
    better: Direction | None = metric.better
    unit, target = "", None
    if (first := next(found, None)) is not None:
        better, unit, target = first.better, first.unit, first.target
    cells: list[Sequence[Cell]] = []
    for row in range(len(arrangement.rows)):
        line: list[Cell] = []
        for column, one in enumerate(arrangement.columns):  # published ones are the last
            if one.group == "published":
                number = arrangement.published.get((row, column, metric.name))
                ours = _ours(one, arrangement.columns, line)
                printed_in = arrangement.paper.units.get(metric.name, "")
                line.append(published_cell(number, ours, notes, printed_in, unit))
            else:
                own = seeds.get((row, column))
                line.append(
                    Cell() if own is None else own_cell(own, metric, notes, intervals=intervals)
                )
        if comparable[row]:
            line = list(ranked(line, arrangement.columns, better, target))
        cells.append(line)
    return Panel(
        metric=metric.name,
        title=metric.title,
        unit=unit,
        better=better,
        columns=arrangement.columns,
        rows=arrangement.rows,
        cells=tuple(map(tuple, cells)),
        target=target,
    )


def _ours(printed: Column, columns: Sequence[Column], line: Sequence[Cell]) -> Cell:
    """Our cell of a printed column; none where we have several variants of its method."""
    found = [
        cell
        for column, cell in zip(columns, line, strict=False)
        if (column.method, column.postprocessing, column.supervised_on)
        == (printed.method, printed.postprocessing, printed.supervised_on)
        and column.group != "published"
    ]
    return found[0] if len(found) == 1 else Cell()


def _with_chance(panel: Panel, metric: str, arrangement: Arrangement) -> Panel:
    """Add what a constant score reaches, such as the share of lesion voxels beside AUPRC.

    Args:
        panel: the panel.
        metric: name of the metric that says it; empty where none does.
        arrangement: its rows and columns.
    """
    if not metric:
        return panel
    cells = []
    for at, row in enumerate(panel.rows):
        whole = row.dataset  # or it is an average
        cells.append(dataset_cell(arrangement.by_row[at], metric) if whole else Cell(style="share"))
    if all(cell.value is None for cell in cells):
        return panel
    column = Column(metric, "Prevalence", "dataset", "none")
    ours = sum(one.group != "published" for one in panel.columns)
    return replace(
        panel,
        columns=(*panel.columns[:ours], column, *panel.columns[ours:]),
        cells=tuple(
            (*line[:ours], cell, *line[ours:])
            for line, cell in zip(panel.cells, cells, strict=True)
        ),
    )
