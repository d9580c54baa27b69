r"""What of a table is on which printed page: nothing too wide or too high, and nothing scaled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from math import ceil

from uad_bench.report.tables.formats.tex import points, wrapped
from uad_bench.report.tables.layout import Ruler, Sheet, arrange_sheets, joined, sections
from uad_bench.report.tables.model import Cell, Note, Table

PAGE = 345.0
"""Points that a table may be wide: the page of LNCS is 347 points wide."""
COLUMN = 295.0
r"""Points of Computer Modern that fit a column of IEEE, whose ``\footnotesize`` is smaller."""
HEIGHT = 500.0
"""Points that one environment may be high: the page of LNCS is 549 points high."""

_LINE = 11.0
_CHARACTERS = 70
MOST_NOTES = 14
"""Lines of footnotes below one table; more stand in the running text, which a page can break."""
_BOLD, _RAISED = 1.16, 0.75
_GAP = 0.5 * 9.25


def _cell_width(cell: Cell) -> float:
    number = points(cell.text) * (_BOLD if cell.rank == 1 else 1)
    return max(number + _marks_width(cell.marks), points(cell.interval))


def _marks_width(marks: tuple[int, ...]) -> float:
    return _RAISED * points(",".join(map(str, marks)))


POINTS = Ruler(
    text=points,
    cell=_cell_width,
    marks=_marks_width,
    wrap=wrapped,
    head=62.0,
    stub=110.0,
    line=_LINE,
    gap=_GAP,
    titled=True,
)


def pages_of(table: Table) -> list[tuple[Sheet, ...]]:
    """Neighbours together, as many as a page holds."""
    pages: list[tuple[Sheet, ...]] = []
    for sheet in _sheets(table):
        if pages and _height(table, together := (*pages[-1], sheet)) <= HEIGHT:
            pages[-1] = together
        else:
            pages.append((sheet,))
    return pages


def _sheets(table: Table) -> Iterator[Sheet]:
    """The sheets of a table, side by side where the paper has them so, none too wide or high."""
    laid = arrange_sheets(table, PAGE, POINTS)
    may_turn = table.rows == "datasets"
    if table.beside:
        groups = [list(g) for _, g in groupby(laid, lambda one: _together(table, one.metric))]
        sheets = [one for group in groups for one in _side_by_side(group, may_turn=may_turn)]
    elif laid[0].corner == "Method":
        sheets = _neighbours_joined(laid)
    else:
        sheets = list(laid)
    for sheet in sheets:
        for part in _parts(sheet, may_turn=may_turn):
            yield from part.cut(_most_rows(table, part))


def _together(table: Table, metric: str) -> tuple[str, ...]:
    return next((group for group in table.beside if metric in group), (metric,))


def _side_by_side(sheets: Sequence[Sheet], *, may_turn: bool) -> Sequence[Sheet]:
    """Sheets of one group beside each other; where that is too wide, ours and published apart."""
    if len(sheets) == 1:
        return sheets
    whole = joined(sheets)
    if _fits(replace(whole, upright=may_turn)):
        return [whole]
    divided = [sheet.by_section(lambda _: False) for sheet in sheets]
    if len({len(parts) for parts in divided}) > 1:
        return sheets
    return [joined(parts) for parts in zip(*divided, strict=True)]


def _neighbours_joined(sheets: Sequence[Sheet]) -> list[Sheet]:
    """Sheets with the same rows beside each other, as many as fit."""
    found: list[list[Sheet]] = []
    for sheet in sheets:
        if found and sheet.rows == found[-1][0].rows and _fits(joined([*found[-1], sheet])):
            found[-1].append(sheet)
        else:
            found.append([sheet])
    return [some[0] if len(some) == 1 else joined(some) for some in found]


def _fits(sheet: Sheet) -> bool:
    return sheet.width(POINTS) <= PAGE


def _parts(sheet: Sheet, *, may_turn: bool) -> Iterator[Sheet]:
    """A sheet in as few parts as are not too wide, with column titles upright where that helps."""
    upright = replace(sheet, upright=may_turn)
    if _fits(sheet):
        yield sheet
    elif _fits(upright):
        yield upright
    elif len(several := sheet.by_section(lambda one: _fits(replace(one, upright=may_turn)))) > 1:
        for part in several:
            yield from _parts(part, may_turn=may_turn)
    else:
        yield from sheet.split(PAGE, POINTS)


def _most_rows(table: Table, sheet: Sheet) -> int:
    """Rows of a sheet that fit one environment."""
    rows = len(sheet.rows)
    while rows > 1 and any(_height(table, (part,)) > HEIGHT for part in sheet.cut(rows)):
        rows -= 1
    return rows


def _height(table: Table, sheets: Sequence[Sheet]) -> float:
    """Estimated height in points of an environment with these sheets."""
    lines = 0.0
    for sheet in sheets:
        heads = (len(POINTS.wrap(one.title, POINTS.head)) for one in sheet.columns)
        upright = max(points(one.title) for one in sheet.columns) / _LINE
        lines += 4 + (upright if sheet.upright else max(heads))
        lines += sum(len(POINTS.wrap(row.title, POINTS.stub)) for row in sheet.rows)
        lines += sum(any(cell.interval for cell in row) for row in sheet.cells)
        lines += 1.5 * len(sections(sheet.rows))
    lines += ceil((len(table.caption) + 150) / _CHARACTERS) + 2
    lines += min(note_lines(notes_of(table, sheets)), MOST_NOTES)
    return lines * _LINE


def note_lines(notes: Sequence[Note]) -> int:
    """About how many lines some notes have below a table."""
    return sum(ceil(len(note.text) / _CHARACTERS) for note in notes)


def notes_of(table: Table, sheets: Sequence[Sheet]) -> list[Note]:
    """The notes that these sheets need."""
    used = {str(mark) for sheet in sheets for mark in sheet.marks}
    titles = "".join(one.title for sheet in sheets for one in (*sheet.columns, *sheet.rows))
    cells = [cell for sheet in sheets for row in sheet.cells for cell in row]
    needed = {
        "interval": any(cell.interval for cell in cells),
        "no interval": any(cell.seeds and not cell.interval for cell in cells),
        "difference": any(cell.difference is not None for cell in cells),
    }
    used |= {"–"} if any(cell.state == "absent" and not cell.marks for cell in cells) else set()
    return [
        note
        for note in table.notes
        if note.mark in used
        or needed.get(note.about, False)
        or (note.mark and not note.mark.isdigit() and note.mark in titles)
    ]


def stacks_of(sheets: Sequence[Sheet]) -> Iterator[tuple[Sheet, ...]]:
    """Sheets that share one tabular: those with the same columns, where it is not too wide."""
    stack: tuple[Sheet, ...] = ()
    for sheet in sheets:
        together = (*stack, sheet)
        if stack and (
            sheet.columns != stack[0].columns
            or sheet.upright != stack[0].upright
            or stacked(together).width(POINTS) > PAGE
        ):
            yield stack
            together = (sheet,)
        stack = together
    yield stack


def stacked(sheets: Sequence[Sheet]) -> Sheet:
    """One sheet with the rows of several."""
    return replace(
        sheets[0],
        rows=tuple(row for sheet in sheets for row in sheet.rows),
        cells=tuple(line for sheet in sheets for line in sheet.cells),
    )
