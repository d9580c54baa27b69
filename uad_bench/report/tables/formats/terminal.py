"""Tables for a terminal: one per metric, with marks that survive a pipe."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from uad_bench.report.tables.formats.characters import CHARACTERS, head_lines
from uad_bench.report.tables.layout import WIDTH, Sheet, arrange_sheets
from uad_bench.report.tables.model import GROUPS, Cell, Table

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_RANKS = {0: ("", ""), 1: (" ●", "bold"), 2: (" ○", "underline")}


def terminal(table: Table, width: int = WIDTH) -> Group:
    """Make something a rich console can print.

    Args:
        table: what to show.
        width: characters of the terminal; wider sheets are turned round, then split.
    """
    parts: list[RenderableType] = [Text(table.caption), Text()]
    for sheet in arrange_sheets(table, width - 1, CHARACTERS):
        parts += [_grid(part) for part in sheet.split(width - 1, CHARACTERS)]
    if table.ranked:
        parts.append(Text("● best, ○ second best unsupervised detector.", style="dim"))
    for note in table.notes:
        mark = f"{note.mark.translate(_SUPERSCRIPT)} " if note.mark else ""
        parts.append(Text(f"{mark}{note.text}", style="dim"))
    if table.basis:
        parts += [Text(), Text(table.basis, style="dim")]
    return Group(*parts)


def plain(table: Table, width: int = WIDTH) -> str:
    """The same as text without colours, for a file or a pipe."""
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal(table, width))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _grid(sheet: Sheet) -> RenderableType:
    grid = RichTable(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    grid.add_column(sheet.corner, no_wrap=True)
    for column in sheet.columns:
        title = Text("\n".join(head_lines(column.title))).append(_marks(column.marks))
        grid.add_column(title, justify="right", no_wrap=True)
    section = sheet.rows[0].section
    for row, cells in zip(sheet.rows, sheet.cells, strict=True):
        if row.section != section and row.section in GROUPS.values():
            grid.add_row()
            grid.add_row(Text(row.section, style="italic"))
        elif row.section != section:
            grid.add_row()
        section = row.section
        title = Text(row.title).append(_marks(row.marks))
        grid.add_row(title, *(_cell(cell) for cell in cells))
    return Group(Text(sheet.title, style="bold"), Padding(grid, (0, 0, 1, 1)))


def _cell(cell: Cell) -> Text:
    mark, style = _RANKS[cell.rank]
    text = Text(cell.text, style=style or ("red" if cell.state == "failed" else ""))
    text = Text().append_text(text).append(mark).append(_marks(cell.marks))
    return text.append(f"\n{cell.interval}", style="dim") if cell.interval else text


def _marks(marks: tuple[int, ...]) -> str:
    return f" {','.join(map(str, marks)).translate(_SUPERSCRIPT)}" if marks else ""
