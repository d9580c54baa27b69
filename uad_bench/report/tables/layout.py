"""Which way round a panel stands, and what fits: the same for a terminal and for a printed page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

from uad_bench.report.tables.model import GROUPS, Cell, Panel, Rows, Table

WIDTH = 100
"""Characters a table may be wide before methods become rows."""


@dataclass(frozen=True, slots=True)
class Ruler:
    """How wide things are in one medium.

    Attributes:
        text: width of a text.
        cell: width of a cell, with rank, marks and interval.
        marks: width of the marks of a heading.
        wrap: a text in lines of a width.
        head: width at which the title of a column is wrapped.
        stub: width at which the title of a row is wrapped.
        line: height of a line, which is the width of a title that stands upright.
        gap: space between two columns.
        titled: whether sections of columns have titles over them.
    """

    text: Callable[[str], float]
    cell: Callable[[Cell], float]
    marks: Callable[[tuple[int, ...]], float]
    wrap: Callable[[str, float], tuple[str, ...]]
    head: float
    stub: float
    line: float
    gap: float
    titled: bool

    def heading(self, heading: Heading, width: float) -> float:
        """Width of a title that is wrapped at a width; its marks are behind the last line."""
        lines = self.wrap(heading.title, width)
        return max(*map(self.text, lines), self.text(lines[-1]) + self.marks(heading.marks))


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


@dataclass(frozen=True, slots=True)
class Sheet:
    """A panel as it is printed: ``cells[row][column]``.

    Attributes:
        title: the metric, with unit and arrow.
        corner: what the rows are.
        columns: column headings.
        rows: row headings.
        cells: the numbers.
        metric: the metric's name.
        upright: whether the column titles are turned by 90 degrees.
    """

    title: str
    corner: str
    columns: tuple[Heading, ...]
    rows: tuple[Heading, ...]
    cells: tuple[tuple[Cell, ...], ...]
    metric: str = ""
    upright: bool = False

    def transposed(self, corner: str) -> Sheet:
        """The same with rows and columns exchanged."""
        return replace(
            self,
            corner=corner,
            columns=self.rows,
            rows=self.columns,
            cells=tuple(zip(*self.cells, strict=True)),
        )

    @property
    def marks(self) -> frozenset[int]:
        """Numbers of all footnotes that it refers to."""
        headings = {mark for one in (*self.columns, *self.rows) for mark in one.marks}
        cells = {mark for row in self.cells for cell in row for mark in cell.marks}
        return frozenset(headings | cells)

    def width(self, ruler: Ruler) -> float:
        """Width of the whole sheet."""
        stubs = (ruler.heading(row, ruler.stub) for row in self.rows)
        named = (row.section for row in self.rows if row.section in GROUPS.values())
        first = max(ruler.text(self.corner), *stubs, *map(ruler.text, named))
        numbers = sum(ruler.gap + width for width in self._widths(ruler))
        spans = self.spans(ruler) if ruler.titled else ()
        return first + numbers + sum(max(0.0, self._excess(span, ruler)) for span in spans)

    def spans(self, ruler: Ruler) -> tuple[tuple[str, int, float], ...]:
        """The sections of columns: title, number of columns, and width at which it is wrapped."""
        widths, found, at = self._widths(ruler), [], 0
        for name, size in sections(self.columns):
            own = sum(widths[at : at + size]) + ruler.gap * (size - 1)
            found.append((name, size, own))
            at += size
        return tuple(found)

    @staticmethod
    def _excess(span: tuple[str, int, float], ruler: Ruler) -> float:
        """How much wider the title of a section is than its columns."""
        name, _, own = span
        return max(map(ruler.text, ruler.wrap(name, max(own, ruler.head)))) - own

    def _widths(self, ruler: Ruler) -> list[float]:
        return [
            max(
                ruler.line if self.upright else ruler.heading(column, ruler.head),
                *(ruler.cell(row[index]) for row in self.cells),
            )
            for index, column in enumerate(self.columns)
        ]

    def split(self, width: float, ruler: Ruler) -> tuple[Sheet, ...]:
        """As few sheets as fit ``width``, with about the same number of columns each."""
        count = len(self.columns)
        for parts in range(1, count + 1):
            size = ceil(count / parts)
            sheets = [
                self._only_columns(range(start, min(start + size, count)))
                for start in range(0, count, size)
            ]
            if all(sheet.width(ruler) <= width for sheet in sheets):
                return tuple(sheets)
        return tuple(self._only_columns(range(index, index + 1)) for index in range(count))

    def by_section(self, fits: Callable[[Sheet], bool]) -> tuple[Sheet, ...]:
        """Sheets of neighbouring sections of columns, as many together as fit."""
        parts: list[range] = []
        at = 0
        for _, size in sections(self.columns):
            section = range(at, at + size)
            if parts and fits(self._only_columns(range(parts[-1].start, section.stop))):
                parts[-1] = range(parts[-1].start, section.stop)
            else:
                parts.append(section)
            at += size
        return tuple(self._only_columns(part) for part in parts)

    def cut(self, rows: int) -> tuple[Sheet, ...]:
        """Sheets of at most so many rows, and about the same number each."""
        count = len(self.rows)
        size = ceil(count / ceil(count / rows))
        return tuple(
            replace(self, rows=self.rows[at : at + size], cells=self.cells[at : at + size])
            for at in range(0, count, size)
        )

    def _only_columns(self, columns: range) -> Sheet:
        return replace(
            self,
            columns=tuple(self.columns[index] for index in columns),
            cells=tuple(tuple(row[index] for index in columns) for row in self.cells),
        )


def arrange_sheets(table: Table, width: float, ruler: Ruler) -> tuple[Sheet, ...]:
    """Lay the panels of a table out, all the same way round.

    Datasets are rows if that fits, else methods; as the table says, where it does.
    """
    sheets = tuple(_sheet(panel) for panel in table.panels)
    rows: Rows | None = table.rows
    if rows is None:
        fits = all(sheet.width(ruler) <= width for sheet in sheets)
        rows = "datasets" if fits else "methods"
    if rows == "datasets":
        return sheets
    return tuple(sheet.transposed("Method") for sheet in sheets)


def joined(sheets: Sequence[Sheet]) -> Sheet:
    """Sheets with the same rows, side by side, each under its title."""
    columns = [replace(one, section=sheet.title) for sheet in sheets for one in sheet.columns]
    return replace(
        sheets[0],
        title="",
        columns=tuple(columns),
        cells=tuple(
            tuple(cell for row in line for cell in row)
            for line in zip(*(sheet.cells for sheet in sheets), strict=True)
        ),
    )


def sections(headings: Sequence[Heading]) -> list[tuple[str, int]]:
    """The sections of some headings in a row, and how many each has."""
    return [(name, len(list(group))) for name, group in groupby(headings, lambda one: one.section)]


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
        metric=panel.metric,
    )
