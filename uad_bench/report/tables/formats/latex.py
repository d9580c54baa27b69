"""Tables for LaTeX: complete table environments, for booktabs, graphicx and siunitx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil

from jinja2 import Environment, StrictUndefined

from uad_bench.report.tables.formats.tex import escape
from uad_bench.report.tables.layout import Heading, Sheet, arrange_sheets
from uad_bench.report.tables.model import GROUPS, Cell, Table, format_number

PAGE = 530.0
"""Height in points that one environment may have, caption and notes included."""

_FONTS = {r"\small": 11.5, r"\footnotesize": 10.0, r"\scriptsize": 8.5}
_CAPTION_LINE, _CAPTION_WIDTH = 12.0, 80
_NOTE_LINE, _NOTE_WIDTH = 9.5, 95

_TEMPLATE = r"""
\begin{table}[htbp]
  \centering
  \caption{<< caption >>}
  \label{tab:<< label >>}
  \par\smallskip
  << font >>
  \sisetup{detect-weight = true}
<% for block in blocks %>
  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%
  \begin{tabular}{l<< "r" * block.columns >>}
    \toprule
<% for line in block.lines %>
    << line >>
<% endfor %>
    \bottomrule
  \end{tabular}}
<% if not loop.last %>
  \par\medskip
<% endif %>
<% endfor %>
<% if notes %>
  \par\smallskip
  \begin{minipage}{\linewidth}
    \footnotesize\raggedright
<% for note in notes %>
    << note >>\par
<% endfor %>
  \end{minipage}
<% endif %>
\end{table}
"""


def latex(table: Table) -> str:
    r"""Write a table as LaTeX source, to be read with ``\input``.

    The source is ASCII and needs the packages booktabs, graphicx and siunitx. It is one ``table``
    environment, or several where a page would not hold all metrics.
    """
    pages = _pages(table, arrange_sheets(table.panels))
    source = "% Made by `uad-bench table`. Needs the packages booktabs, graphicx and siunitx.\n"
    for number, sheets in enumerate(pages, start=1):
        label = table.name if len(pages) == 1 else f"{table.name}-{number}"
        source += _environment(table, sheets, label)
    return source


def _pages(table: Table, sheets: Sequence[Sheet]) -> list[tuple[Sheet, ...]]:
    """Neighbours together, as many as a page holds."""
    pages: list[tuple[Sheet, ...]] = []
    for sheet in sheets:
        if pages and _height(table, together := (*pages[-1], sheet), r"\small") <= PAGE:
            pages[-1] = together
        else:
            pages.append((sheet,))
    return pages


def _height(table: Table, sheets: Sequence[Sheet], font: str) -> float:
    """Estimated height in points of an environment with these sheets."""
    rows = sum(4 + len(sheet.rows) for sheet in sheets)
    rows += sum(any(cell.interval for cell in row) for sheet in sheets for row in sheet.cells)
    caption = ceil(len(table.caption) / _CAPTION_WIDTH) + 1
    notes = sum(ceil(len(note.text) / _NOTE_WIDTH) for note in table.notes)
    return rows * _FONTS[font] + caption * _CAPTION_LINE + notes * _NOTE_LINE


def _environment(table: Table, sheets: Sequence[Sheet], label: str) -> str:
    blocks = [
        _Block(len(columns), _block_lines(columns, tuple(group)))
        for columns, group in groupby(sheets, key=lambda sheet: sheet.columns)
    ]
    titles = [sheet.title for sheet in sheets]
    listed = titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
    caption = escape(f"{listed}. {table.caption}")
    if any(cell.rank for sheet in sheets for row in sheet.cells for cell in row):
        caption += " Best unsupervised detector in bold, second best underlined."
    font = next((one for one in _FONTS if _height(table, sheets, one) <= PAGE), r"\scriptsize")
    used = {str(mark) for sheet in sheets for mark in sheet.marks}
    headings = "".join(one.title for sheet in sheets for one in (*sheet.columns, *sheet.rows))
    notes = [
        f"{_superscript(note.mark)}{escape(note.text)}"
        for note in table.notes
        if note.mark in used
        or (not note.mark.isdigit() and (note.mark in headings or note.mark == "–"))
    ]
    return _ENVIRONMENT.from_string(_TEMPLATE).render(
        caption=caption, label=label, font=font, blocks=blocks, notes=notes
    )


@dataclass(frozen=True, slots=True)
class _Block:
    """One tabular: the number of its number columns, and its lines."""

    columns: int
    lines: tuple[str, ...]


def _block_lines(columns: Sequence[Heading], sheets: Sequence[Sheet]) -> tuple[str, ...]:
    lines = [*_head(sheets[0].corner, columns), r"\midrule"]
    for number, sheet in enumerate(sheets):
        if number:
            lines.append(r"\midrule")
        lines.append(_across(rf"\textbf{{{escape(sheet.title)}}}", len(columns)))
        section = sheet.rows[0].section
        for row, cells in zip(sheet.rows, sheet.cells, strict=True):
            if row.section != section:
                section = row.section
                lines.append(r"\addlinespace")
                if section in GROUPS.values():
                    lines.append(_across(rf"\emph{{{escape(section)}}}", len(columns)))
            lines.append(_line([_heading(row), *(_cell(cell) for cell in cells)]))
            if any(cell.interval for cell in cells):
                lines.append(_line(["", *(_interval(cell) for cell in cells)]))
    return tuple(lines)


def _head(corner: str, columns: Sequence[Heading]) -> list[str]:
    """The line of column titles, with the sections over it where there are several."""
    lines = []
    sections = [
        (name, len(list(group))) for name, group in groupby(columns, lambda one: one.section)
    ]
    named = [name for name, _ in sections if name in GROUPS.values()]
    if named:
        parts, rules, start = [""], [], 2
        for name, size in sections:
            text = escape(name) if name in GROUPS.values() else ""
            parts.append(rf"\multicolumn{{{size}}}{{c}}{{{text}}}")
            rules.append(rf"\cmidrule(lr){{{start}-{start + size - 1}}}")
            start += size
        lines += [_line(parts), " ".join(rules)]
    titles = []
    for column in columns:
        stack = r"\\".join(escape(line) for line in column.lines)
        titles.append(rf"\shortstack[r]{{{stack}}}{_marks(column.marks)}")
    return [*lines, _line([corner, *titles])]


def _heading(heading: Heading) -> str:
    return escape(heading.title) + _marks(heading.marks)


def _cell(cell: Cell) -> str:
    if cell.state != "value" or cell.value is None:
        return rf"\textit{{{escape(cell.text)}}}{_marks(cell.marks)}"
    text = _number(format_number(cell.value, cell.style))
    if cell.sd is not None:
        text += rf" $\pm$ {_number(format_number(cell.sd, cell.style))}"
    if cell.rank:
        text = rf"\textbf{{{text}}}" if cell.rank == 1 else rf"\underline{{{text}}}"
    return text + _marks(cell.marks)


def _number(text: str) -> str:
    """A formatted number in siunitx's words."""
    below = text.startswith("<")
    percent = text.endswith(" %")
    sign = "$+$" if text.startswith("+") else ""
    number = rf"{sign}\num{{{text.strip('<+ %')}}}"
    return ("$<$" if below else "") + number + (r"\,\%" if percent else "")


def _interval(cell: Cell) -> str:
    if cell.low is None or cell.high is None:
        return ""
    low, high = (_number(format_number(end, cell.style)) for end in (cell.low, cell.high))
    return rf"{{\scriptsize [{low}, {high}]}}"


def _marks(marks: tuple[int, ...]) -> str:
    return _superscript(",".join(map(str, marks)))


def _superscript(mark: str) -> str:
    if not mark:
        return ""
    return rf"\textsuperscript{{{mark}}}" if mark[0].isdigit() else f"{escape(mark)} "


def _across(text: str, columns: int) -> str:
    return rf"\multicolumn{{{columns + 1}}}{{l}}{{{text}}} \\"


def _line(parts: Sequence[str]) -> str:
    return " & ".join(parts) + r" \\"


_ENVIRONMENT = Environment(
    variable_start_string="<<",
    variable_end_string=">>",
    block_start_string="<%",
    block_end_string="%>",
    comment_start_string="<#",
    comment_end_string="#>",
    trim_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
    autoescape=False,
)
