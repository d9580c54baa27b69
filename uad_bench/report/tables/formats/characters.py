"""Widths in characters, as on a terminal, for whatever is laid out in columns of text."""

from __future__ import annotations

from textwrap import wrap

from uad_bench.report.tables.layout import Ruler
from uad_bench.report.tables.model import Cell

_HEAD = 12


def head_lines(title: str) -> tuple[str, ...]:
    """The title of a column on several lines, for the head of a narrow one."""
    return tuple(wrap(title, _HEAD, break_long_words=False, break_on_hyphens=False)) or ("",)


def _cell_width(cell: Cell) -> int:
    """Characters of a cell: its number with rank and marks, or its interval below."""
    number = len(f"{cell.text}{' ●' if cell.rank else ''}") + _marks_width(cell.marks)
    return max(number, len(cell.interval))


def _marks_width(marks: tuple[int, ...]) -> int:
    return len(",".join(map(str, marks))) + 1 if marks else 0


CHARACTERS = Ruler(
    text=len,
    cell=_cell_width,
    marks=_marks_width,
    wrap=lambda title, width: head_lines(title) if width == _HEAD else (title,),
    head=_HEAD,
    stub=float("inf"),
    line=1,
    gap=2,
    titled=False,
)
