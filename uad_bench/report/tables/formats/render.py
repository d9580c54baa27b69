"""A table as text in one of five formats."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import groupby

from uad_bench.report.tables.formats.characters import CHARACTERS, head_lines
from uad_bench.report.tables.formats.html import html, marked, marks
from uad_bench.report.tables.formats.latex import latex
from uad_bench.report.tables.formats.names import Format
from uad_bench.report.tables.formats.spreadsheet import inert
from uad_bench.report.tables.formats.terminal import plain
from uad_bench.report.tables.layout import WIDTH, Heading, Sheet, arrange_sheets
from uad_bench.report.tables.model import GROUPS, Cell, Column, Panel, Row, Table

CSV_HEADER = (
    "protocol",
    "dataset",
    "simulated",
    "method",
    "title",
    "group",
    "postprocessing",
    "params",
    "training",
    "metric",
    "unit",
    "state",
    "value",
    "sd",
    "seeds",
    "low",
    "high",
    "difference",
    "rank",
    "notes",
)


def render(tables: Sequence[Table], form: Format) -> str:
    """Write tables as text that ends in a line end.

    Args:
        tables: what to write, one after the other.
        form: ``terminal`` (without colours), ``latex``, ``markdown``, ``html`` (a page) or ``csv``,
            which always has the intervals.
    """
    if form == "csv":
        return _csv(tables)
    if form == "html":
        return _page(tables)
    write = {"terminal": plain, "latex": latex, "markdown": markdown}[form]
    return "\n".join(write(table) for table in tables)


def _page(tables: Sequence[Table]) -> str:
    """A whole page of HTML, which a browser shows as it is."""
    head = '<!doctype html>\n<meta charset="utf-8">\n<title>uad-bench: tables</title>\n'
    return head + "\n".join(map(html, tables))


def markdown(table: Table) -> str:
    """Write a table as GitHub's Markdown: one grid per metric, best bold, second underlined."""
    parts = [_escaped(table.caption)]
    for sheet in arrange_sheets(table, WIDTH, CHARACTERS):
        parts.append(f"**{_escaped(sheet.title)}**\n\n{_grid(sheet)}")
    if table.ranked:
        parts.append("Best unsupervised detector in bold, second best underlined.")
    parts += [f"{marked(note.mark)}{_escaped(note.text)}" for note in table.notes]
    if table.basis:
        parts.append(_escaped(table.basis))
    return "\n\n".join(parts) + "\n"


def _grid(sheet: Sheet) -> str:
    head = [
        "<br>".join(map(_escaped, head_lines(one.title))) + marks(one.marks)
        for one in sheet.columns
    ]
    lines = [[sheet.corner, *head], [":--", *("--:" for _ in head)]]
    for section, group in groupby(
        zip(sheet.rows, sheet.cells, strict=True), key=lambda pair: pair[0].section
    ):
        if section in GROUPS.values() and section != sheet.rows[0].section:
            lines.append([f"*{section}*", *("" for _ in head)])
        lines += [[_heading(row), *map(_cell, cells)] for row, cells in group]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _heading(heading: Heading) -> str:
    return _escaped(heading.title) + marks(heading.marks)


def _cell(cell: Cell) -> str:
    text = _escaped(cell.text)
    text = {0: text, 1: f"**{text}**", 2: f"<u>{text}</u>"}[cell.rank]
    interval = f" {_escaped(cell.interval)}" if cell.interval else ""
    return f"{text}{interval}{marks(cell.marks)}"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it stands, on one line."""
    text = " ".join(text.split())
    return "".join(f"\\{one}" if one in r"\`*_[]<>|#~$" else one for one in text)


def _csv(tables: Sequence[Table]) -> str:
    """One line per number, at full precision."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    writer.writerows(map(inert, row) for row in csv_rows(tables))
    return file.getvalue()


def csv_rows(tables: Sequence[Table]) -> Iterator[tuple[str | float | None, ...]]:
    """Yield a row per number, or per reason for having none, in the order of ``CSV_HEADER``."""
    for table in tables:
        notes = {note.mark: note.text for note in table.notes}
        for panel in table.panels:
            for row, cells in zip(panel.rows, panel.cells, strict=True):
                for column, cell in zip(panel.columns, cells, strict=True):
                    if cell.state != "absent" or cell.marks:
                        marks = (*_row_marks(row, column), *column.marks, *cell.marks)
                        said = " ".join(notes[str(mark)] for mark in dict.fromkeys(marks))
                        yield (
                            "published" if column.group == "published" else table.protocol,
                            *_csv_place(row, column, panel),
                            *_csv_number(cell, panel),
                            said,
                        )


def _row_marks(row: Row, column: Column) -> tuple[int, ...]:
    """Footnotes of a row that are about a column: they are of our scans, not of the paper's."""
    return () if column.group == "published" else row.marks


def _csv_place(row: Row, column: Column, panel: Panel) -> tuple[str, ...]:
    """Of which dataset, method and metric a number is."""
    of_dataset = column.group == "dataset"  # its method is a metric's name
    return (
        row.dataset or row.label,
        "simulated" if row.simulated and column.group != "published" else "",
        "" if of_dataset else column.method,
        column.title,
        column.group,
        column.postprocessing,
        column.params_hash,
        column.training,
        column.method if of_dataset else panel.metric,
    )


def _csv_number(cell: Cell, panel: Panel) -> tuple[str | float | None, ...]:
    return (
        "%" if cell.style == "percent" else panel.unit,
        cell.state,
        cell.value,
        cell.sd,
        cell.seeds or None,
        cell.low,
        cell.high,
        cell.difference,
        cell.rank or None,
    )
