"""From cell records to a table: the paper's Tables 2, 4 and 5 for whatever was run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from uad_bench.cells import CellRecord, EvaluationSpace, PostProcessing, ProtocolName
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.values import Direction
from uad_bench.report.published import PublishedNumber
from uad_bench.report.tables.arrange import Arrangement, arrange
from uad_bench.report.tables.compare import method_label, paired_tests, with_improvement
from uad_bench.report.tables.metrics import (
    DETECTION,
    DETECTION_NOTE,
    PREVALENCE,
    TITLES,
    chosen_metrics,
)
from uad_bench.report.tables.model import Cell, Column, Note, Panel, Table
from uad_bench.report.tables.notes import Footnotes, caption, column_marks, legend, row_marks
from uad_bench.report.tables.values import dataset_cell, own_cell, published_cell, ranked
from uad_bench.report.tables.versions import refuse_other_version


def build_table(
    records: Sequence[CellRecord],
    protocol: ProtocolName = "strict",
    *,
    postprocessing: Sequence[PostProcessing] = ("none", "star"),
    space: EvaluationSpace = "template",
    metrics: Sequence[str] | None = None,
    intervals: bool = False,
    published: Sequence[PublishedNumber] = (),
    compare: str | None = None,
) -> Table:
    """Make the table of one protocol.

    Args:
        records: cell records; those of other protocols and post-processings are passed over.
        protocol: the evaluation protocol.
        postprocessing: the variants to show.
        space: the voxels that were scored; records of the other are passed over.
        metrics: names of metrics; the protocol's own if not given.
        intervals: whether to show 95 % intervals.
        published: the paper's numbers, to stand beside ours; alone where there are no records.
        compare: a method; its average improvement over every other, and in ``strict`` the
            paired tests, are added.

    Raises:
        UadBenchError: if there is nothing to show, a metric or method is unknown, or numbers
            follow another version of the protocol than its caption.
    """
    mine = [
        record
        for record in records
        if (record.spec.protocol, record.spec.space) == (protocol, space)
        and record.spec.postprocessing in postprocessing
    ]
    if records and not mine:
        others = sorted({record.spec.protocol for record in records})
        if protocol in others:
            raise UadBenchError(f"no results in {space} space under protocol {protocol}")
        raise UadBenchError(
            f"no results under protocol {protocol}; there are some under {', '.join(others)}: "
            f"say --protocol {others[0]}"
        )
    refuse_other_version(mine)
    printed = [number for number in published if number.postprocessing in postprocessing]
    if not mine and not printed:
        raise UadBenchError("nothing to show: no results and no published numbers")
    kind = protocol if mine else "published"
    label = f"{kind}-native" if space == "native" else kind
    names = chosen_metrics(metrics, kind, mine)
    arrangement = arrange(mine, [number for number in printed if number.metric in names])
    notes = Footnotes()
    arrangement = _marked(arrangement, notes)
    if compare is not None:
        method_label(arrangement.columns, compare)  # also where nothing below compares
    panels = []
    for name in names:
        panel = _panel(arrangement, name, notes, intervals=intervals)
        if compare is not None and name == "auprc":
            panel = with_improvement(panel, compare, notes)
        panel = _with_prevalence(panel, arrangement)
        panels.append(panel.without_empty_columns())
    explained = legend(
        arrangement.columns,
        [cell for one in panels for row in one.cells for cell in row],
        intervals=intervals,
    )
    if not set(DETECTION).isdisjoint(names):
        explained.append(Note("", DETECTION_NOTE))
    if compare is not None and kind == "strict":
        panels.append(paired_tests(arrangement, names[0], compare, notes))
    return Table(
        name=f"uad-bench-{label}",
        protocol=label,
        caption=caption(mine, arrangement, protocol),
        panels=tuple(panels),
        notes=(*explained, *notes.notes()),
    )


def _marked(arrangement: Arrangement, notes: Footnotes) -> Arrangement:
    rows = []
    for index, row in enumerate(arrangement.rows):
        records = [one for (at, _), some in arrangement.own.items() if at == index for one in some]
        rows.append(replace(row, marks=row_marks(records, notes)))
    columns = tuple(
        replace(column, marks=column_marks(column, arrangement.columns, notes))
        for column in arrangement.columns
    )
    return replace(arrangement, rows=tuple(rows), columns=columns)


def _panel(arrangement: Arrangement, metric: str, notes: Footnotes, *, intervals: bool) -> Panel:
    found = [
        record.metrics[metric]
        for some in arrangement.own.values()
        for record in some
        if metric in record.metrics
    ]
    better: Direction | None = "lower" if metric.startswith("hd") else "higher"
    unit, target = "", None
    if found:
        better, unit, target = found[0].better, found[0].unit, found[0].target
    cells = []
    for row in range(len(arrangement.rows)):
        line = [
            published_cell(arrangement.published.get((row, column, metric)), notes)
            if one.group == "published"
            else own_cell(
                arrangement.own.get((row, column), ()), metric, notes, intervals=intervals
            )
            for column, one in enumerate(arrangement.columns)
        ]
        cells.append(ranked(line, arrangement.columns, better, target))
    return Panel(
        metric=metric,
        title=TITLES.get(metric, metric),
        unit=unit,
        better=better,
        columns=arrangement.columns,
        rows=arrangement.rows,
        cells=tuple(cells),
        target=target,
    )


def _with_prevalence(panel: Panel, arrangement: Arrangement) -> Panel:
    """Add the share of lesion voxels to a panel of AUPRC: what a constant score reaches."""
    metric = PREVALENCE.get(panel.metric)
    if metric is None:
        return panel
    cells = []
    for at, row in enumerate(panel.rows):
        records = [one for (r, _), some in arrangement.own.items() if r == at for one in some]
        cells.append(dataset_cell(records, metric) if row.dataset else Cell(style="share"))
    if all(cell.value is None for cell in cells):
        return panel
    column = Column(metric, "Prevalence", "dataset", "none")
    return replace(
        panel,
        columns=(*panel.columns, column),
        cells=tuple((*line, cell) for line, cell in zip(panel.cells, cells, strict=True)),
    )
