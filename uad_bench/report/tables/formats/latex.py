r"""Tables for LaTeX: complete table environments, for booktabs and graphicx.

Text is never smaller than ``\footnotesize`` and never scaled. A table is made to fit the narrowest
page of the classes of MIDL, LNCS and IEEE, so that one source fits them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from jinja2 import Environment, StrictUndefined

from uad_bench.report.tables.formats.pages import (
    COLUMN,
    MOST_NOTES,
    POINTS,
    note_lines,
    notes_of,
    pages_of,
    stacked,
    stacks_of,
)
from uad_bench.report.tables.formats.tex import breakable, escape, shortstack
from uad_bench.report.tables.layout import Heading, Sheet, sections
from uad_bench.report.tables.model import GROUPS, Cell, Note, Table

_TEMPLATE = r"""
\begin{<< environment >>}[tbp]
  \centering
  \caption{<< caption >>}
  \label{tab:<< label >>}
  \par\smallskip
  \footnotesize
  \setlength{\tabcolsep}{0.25em}
<% for block in blocks %>
  \begin{tabular}{@{}l<< "r" * block.columns >>@{}}
    \toprule
<% for line in block.lines %>
    << line >>
<% endfor %>
    \bottomrule
  \end{tabular}
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
\end{<< environment >>}
"""

_BASIS = r"""
% What the numbers above stand on, once for all of these tables. Move it to where it fits.
{\footnotesize\raggedright\noindent
<% for line in lines %>
<< line >>\par
<% endfor %>
}
"""


def latex(table: Table) -> str:
    r"""Write a table as LaTeX source, to be read with ``\input``.

    The source is ASCII and needs the packages booktabs and graphicx. It is one ``table``
    environment, or several where a page would not hold all metrics, and ``table*`` where one
    column of two would not. A paragraph on the protocol follows, once for all of them.
    """
    pages = pages_of(table)
    source = "% Made by `uad-bench table`. Needs the packages booktabs and graphicx.\n"
    labels, moved = [], dict[str, str]()
    for number, sheets in enumerate(pages, start=1):
        labels.append(table.name if len(pages) == 1 else f"{table.name}-{number}")
        notes = notes_of(table, sheets)
        if note_lines(notes) > MOST_NOTES:
            footnotes = [note for note in notes if note.mark.isdigit()]
            moved |= {note.mark: _note(note) for note in footnotes}
            notes = [note for note in notes if note not in footnotes]
            notes.append(Note("", "Numbered notes: see the text on this table."))
        source += _environment(table, sheets, labels[-1], [_note(note) for note in notes])
    lines = [f"{_references(labels)}: {breakable(table.basis)}"] if table.basis else []
    lines += [moved[mark] for mark in sorted(moved, key=int)]
    if lines:
        source += _JINJA.from_string(_BASIS).render(lines=lines)
    return source


def _references(labels: Sequence[str]) -> str:
    first, last = (rf"\ref{{tab:{label}}}" for label in (labels[0], labels[-1]))
    return f"Table~{first}" if len(labels) == 1 else f"Tables~{first} to~{last}"


def _environment(table: Table, sheets: Sequence[Sheet], label: str, notes: Sequence[str]) -> str:
    stacks = list(stacks_of(sheets))
    wide = any(stacked(stack).width(POINTS) > COLUMN for stack in stacks)
    titles = list(dict.fromkeys(chain.from_iterable(map(_titles, sheets))))
    listed = titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
    caption = breakable(f"{listed}. {table.caption}")
    if any(cell.rank for sheet in sheets for row in sheet.cells for cell in row):
        caption += " Best unsupervised detector in bold, second best underlined."
    return _JINJA.from_string(_TEMPLATE).render(
        environment="table*" if wide else "table",
        caption=caption,
        label=label,
        blocks=[_Block(len(stack[0].columns), _block_lines(stack)) for stack in stacks],
        notes=notes,
    )


def _titles(sheet: Sheet) -> list[str]:
    return [sheet.title] if sheet.title else [name for name, _ in sections(sheet.columns)]


@dataclass(frozen=True, slots=True)
class _Block:
    """One tabular: the number of its number columns, and its lines."""

    columns: int
    lines: tuple[str, ...]


def _block_lines(sheets: Sequence[Sheet]) -> tuple[str, ...]:
    lines, columns = [*_head(sheets[0]), r"\midrule"], len(sheets[0].columns)
    for number, sheet in enumerate(sheets):
        if number:
            lines.append(r"\midrule")
        if sheet.title:
            lines.append(_across(rf"\textbf{{{escape(sheet.title)}}}", columns))
        section = sheet.rows[0].section
        for row, cells in zip(sheet.rows, sheet.cells, strict=True):
            if row.section != section:
                section = row.section
                lines.append(r"\addlinespace")
                if section in GROUPS.values():
                    lines.append(_across(rf"\emph{{{escape(section)}}}", columns))
            lines.append(_line([_stub(row), *(_cell(cell) for cell in cells)]))
            if any(cell.interval for cell in cells):
                lines.append(_line(["", *(escape(cell.interval) for cell in cells)]))
    return tuple(lines)


def _head(sheet: Sheet) -> list[str]:
    """The line of column titles, with the sections over it where there are several."""
    lines = []
    spans = sheet.spans(POINTS)
    if not sheet.title or any(name in GROUPS.values() for name, *_ in spans):
        parts, rules, start = [""], [], 2
        for place, (name, size, width) in enumerate(spans):
            wrap = max(width, POINTS.head)
            alone = name == GROUPS["detector"] and place > 0
            text = "" if alone or name in ("", "summary") else shortstack(name, wrap, "c")
            parts.append(rf"\multicolumn{{{size}}}{{c}}{{{text}}}")
            if text:
                rules.append(rf"\cmidrule(lr){{{start}-{start + size - 1}}}")
            start += size
        lines += [_line(parts), " ".join(rules)]
    return [*lines, _line([sheet.corner, *(_title(one, sheet) for one in sheet.columns)])]


def _title(column: Heading, sheet: Sheet) -> str:
    if sheet.upright:
        return rf"\rotatebox{{90}}{{{escape(column.title)}{_marks(column.marks)}}}"
    return shortstack(column.title, POINTS.head, "r") + _marks(column.marks)


def _stub(row: Heading) -> str:
    return shortstack(row.title, POINTS.stub, "l") + _marks(row.marks)


def _cell(cell: Cell) -> str:
    text = escape(cell.text.replace("-", "−"))
    if cell.rank:
        text = rf"\textbf{{{text}}}" if cell.rank == 1 else rf"\underline{{{text}}}"
    return text + _marks(cell.marks)


def _marks(marks: tuple[int, ...]) -> str:
    return rf"\textsuperscript{{{','.join(map(str, marks))}}}" if marks else ""


def _note(note: Note) -> str:
    if note.mark.isdigit():
        return rf"\textsuperscript{{{note.mark}}}{breakable(note.text)}"
    return f"{escape(note.mark)} {breakable(note.text)}".strip()


def _across(text: str, columns: int) -> str:
    return rf"\multicolumn{{{columns + 1}}}{{@{{}}l@{{}}}}{{{text}}} \\"


def _line(parts: Sequence[str]) -> str:
    return " & ".join(parts) + r" \\"


_JINJA = Environment(
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
