"""Tables for a notebook: the same rows, marks and notes as in the terminal, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from uad_bench.report.tables.formats.characters import CHARACTERS, head_lines
from uad_bench.report.tables.layout import WIDTH, Heading, Sheet, arrange_sheets
from uad_bench.report.tables.model import GROUPS, Cell, Table

_RANKS = {0: "{}", 1: "<b>{}</b>", 2: "<u>{}</u>"}
_RIGHT = ' style="text-align: right; vertical-align: bottom"'
_LEFT = ' style="text-align: left"'


def html(table: Table) -> str:
    """Write a table as HTML without styles of its own, best bold, second underlined."""
    parts = [f"<p>{escape(table.caption)}</p>"]
    parts += [_grid(sheet) for sheet in arrange_sheets(table, WIDTH, CHARACTERS)]
    if table.ranked:
        parts.append("<p>Best unsupervised detector in bold, second best underlined.</p>")
    parts += [f"<p>{marked(note.mark)}{escape(note.text)}</p>" for note in table.notes]
    if table.basis:
        parts.append(f"<p>{escape(table.basis)}</p>")
    return "\n".join(parts) + "\n"


def _grid(sheet: Sheet) -> str:
    heads = "".join(
        f'<th scope="col"{_RIGHT}>{_lines(one.title)}{marks(one.marks)}</th>'
        for one in sheet.columns
    )
    lines = [f'<tr><th scope="col"{_LEFT}>{escape(sheet.corner)}</th>{heads}</tr>']
    for section, group in groupby(
        zip(sheet.rows, sheet.cells, strict=True), key=lambda pair: pair[0].section
    ):
        if section in GROUPS.values() and section != sheet.rows[0].section:
            span = len(sheet.columns) + 1
            lines.append(f'<tr><td colspan="{span}"{_LEFT}><i>{escape(section)}</i></td></tr>')
        lines += [_row(row, cells) for row, cells in group]
    caption = f"<caption{_LEFT}><b>{escape(sheet.title)}</b></caption>"
    return "\n".join([f"<table>{caption}", *lines, "</table>"])


def _lines(title: str) -> str:
    return "<br>".join(map(escape, head_lines(title)))


def _row(heading: Heading, cells: Sequence[Cell]) -> str:
    numbers = "".join(f"<td{_RIGHT}>{_cell(cell)}</td>" for cell in cells)
    title = f'<th scope="row"{_LEFT}>{escape(heading.title)}{marks(heading.marks)}</th>'
    return f"<tr>{title}{numbers}</tr>"


def _cell(cell: Cell) -> str:
    text = _RANKS[cell.rank].format(escape(cell.text)) + marks(cell.marks)
    return f"{text}<br><small>{escape(cell.interval)}</small>" if cell.interval else text


def marks(numbers: tuple[int, ...]) -> str:
    """Return the numbers of notes, raised, as HTML and Markdown write them."""
    return f"<sup>{','.join(map(str, numbers))}</sup>" if numbers else ""


def marked(mark: str) -> str:
    """Return the mark at the beginning of a note, as HTML and Markdown write it."""
    if not mark:
        return ""
    return f"<sup>{mark}</sup> " if mark[0].isdigit() else f"{escape(mark)} "
