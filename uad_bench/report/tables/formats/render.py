"""A table as text in one of four formats."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from typing import Literal, get_args

from uad_bench.report.tables.formats.html import marked, marks
from uad_bench.report.tables.formats.latex import latex
from uad_bench.report.tables.formats.terminal import plain
from uad_bench.report.tables.layout import Heading, Sheet, arrange_sheets
from uad_bench.report.tables.model import GROUPS, Cell, Table

Format = Literal["terminal", "latex", "markdown", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)

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
    "rank",
    "notes",
)


def render(tables: Sequence[Table], form: Format) -> str:
    """Write tables as text that ends in a line end.

    Args:
        tables: what to write, one after the other.
        form: ``terminal`` (without colours), ``latex``, ``markdown`` or ``csv``.
    """
    if form == "csv":
        return _csv(tables)
    write = {"terminal": plain, "latex": latex, "markdown": markdown}[form]
    return "\n".join(write(table) for table in tables)


def markdown(table: Table) -> str:
    """Write a table as GitHub's Markdown: one grid per metric, best bold, second underlined."""
    parts = [_escaped(table.caption)]
    for sheet in arrange_sheets(table.panels):
        parts.append(f"**{_escaped(sheet.title)}**\n\n{_grid(sheet)}")
    if table.ranked:
        parts.append("Best unsupervised detector in bold, second best underlined.")
    parts += [f"{marked(note.mark)}{_escaped(note.text)}" for note in table.notes]
    return "\n\n".join(parts) + "\n"


def _grid(sheet: Sheet) -> str:
    head = ["<br>".join(map(_escaped, one.lines)) + marks(one.marks) for one in sheet.columns]
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
    return "".join(f"\\{one}" if one in r"\`*_[]<>|#~" else one for one in text)


def _csv(tables: Sequence[Table]) -> str:
    """One line per number, at full precision."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for table in tables:
        notes = {note.mark: note.text for note in table.notes}
        for panel in table.panels:
            for row, cells in zip(panel.rows, panel.cells, strict=True):
                for column, cell in zip(panel.columns, cells, strict=True):
                    if cell.state == "absent" and not cell.marks:
                        continue
                    printed = column.group == "published"
                    of_dataset = column.group == "dataset"  # its method is a metric's name
                    about_row = () if printed else row.marks  # of our scans, not of the paper's
                    marks = dict.fromkeys((*about_row, *column.marks, *cell.marks))
                    writer.writerow(
                        (
                            "published" if printed else table.protocol,
                            row.dataset or row.label,
                            "simulated" if row.simulated and not printed else "",
                            "" if of_dataset else column.method,
                            column.title,
                            column.group,
                            column.postprocessing,
                            column.params_hash,
                            column.training,
                            column.method if of_dataset else panel.metric,
                            "%" if cell.style == "percent" else panel.unit,
                            cell.state,
                            cell.value,
                            cell.sd,
                            cell.seeds or "",
                            cell.low,
                            cell.high,
                            cell.rank or "",
                            " ".join(notes[str(mark)] for mark in marks),
                        )
                    )
    return file.getvalue()
