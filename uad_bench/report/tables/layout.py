"""Which way round a panel stands: datasets as rows as in the paper, or methods, if too wide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from textwrap import wrap

from uad_bench.report.tables.model import GROUPS, Cell, Panel

WIDTH = 100
"""Characters a table may be wide before methods become rows."""

_GAP = 2
_HEAD = 12


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of a row or column of a sheet.

    Attributes:
        title: its text, with symbols.
        marks: numbers of its footnotes.
        section: the section it stands in; a line is drawn where the section changes.
    """

    title: str
    marks: tuple[int, ...]
    section: str

    @property
    def lines(self) -> tuple[str, ...]:
        """The title on several lines, for the head of a narrow column."""
        return tuple(wrap(self.title, _HEAD, break_long_words=False, break_on_hyphens=False))


@dataclass(frozen=True, slots=True)
class Sheet:
    """A panel as it is printed: ``cells[row][column]``.

    Attributes:
        title: the metric, with unit and arrow.
        corner: what the rows are.
        columns: column headings.
        rows: row headings.
        cells: the numbers.
    """

    title: str
    corner: str
    columns: tuple[Heading, ...]
    rows: tuple[Heading, ...]
    cells: tuple[tuple[Cell, ...], ...]

    def transposed(self, corner: str) -> Sheet:
        """The same with rows and columns exchanged."""
        return Sheet(
            self.title, corner, self.rows, self.columns, tuple(zip(*self.cells, strict=True))
        )

    @property
    def marks(self) -> frozenset[int]:
        """Numbers of all footnotes that it refers to."""
        headings = {mark for one in (*self.columns, *self.rows) for mark in one.marks}
        cells = {mark for row in self.cells for cell in row for mark in cell.marks}
        return frozenset(headings | cells)

    @property
    def widths(self) -> tuple[int, ...]:
        """Characters per column, that of the row headings first."""
        first = max(max(len(_marked(row.title, row.marks)), len(row.section)) for row in self.rows)
        rest = [
            max(
                *(len(line) for line in column.lines),
                len(_marked(column.lines[-1], column.marks)),
                *(cell_width(row[index]) for row in self.cells),
            )
            for index, column in enumerate(self.columns)
        ]
        return (first, *rest)

    @property
    def width(self) -> int:
        """Characters of the whole sheet."""
        return sum(self.widths) + _GAP * len(self.columns)

    def split(self, width: int) -> tuple[Sheet, ...]:
        """As few sheets as fit ``width``, with about the same number of columns each."""
        count = len(self.columns)
        for parts in range(1, count + 1):
            size = ceil(count / parts)
            sheets = [
                self._only(range(start, min(start + size, count)))
                for start in range(0, count, size)
            ]
            if all(sheet.width <= width for sheet in sheets):
                return tuple(sheets)
        return tuple(self._only(range(index, index + 1)) for index in range(count))

    def _only(self, columns: range) -> Sheet:
        return Sheet(
            self.title,
            self.corner,
            tuple(self.columns[index] for index in columns),
            self.rows,
            tuple(tuple(row[index] for index in columns) for row in self.cells),
        )


def arrange_sheets(panels: Sequence[Panel], width: int = WIDTH) -> tuple[Sheet, ...]:
    """Lay panels out, all the same way round: datasets as rows if that fits, else methods."""
    sheets = [_sheet(panel) for panel in panels]
    if all(sheet.width <= width for sheet in sheets):
        return tuple(sheets)
    return tuple(sheet.transposed("Method") for sheet in sheets)


def _sheet(panel: Panel) -> Sheet:
    return Sheet(
        title=panel.heading,
        corner="Dataset",
        columns=tuple(
            Heading(column.title, column.marks, GROUPS[column.group]) for column in panel.columns
        ),
        rows=tuple(
            Heading(row.title, row.marks, "" if row.dataset else "summary") for row in panel.rows
        ),
        cells=panel.cells,
    )


def cell_width(cell: Cell) -> int:
    """Characters of a cell: its number with rank and marks, or its interval below."""
    shown = f"{cell.text}{' ●' if cell.rank else ''}"
    return max(len(_marked(shown, cell.marks)), len(cell.interval))


def _marked(text: str, marks: tuple[int, ...]) -> str:
    return f"{text} {','.join(map(str, marks))}" if marks else text
