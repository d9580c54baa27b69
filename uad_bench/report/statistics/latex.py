r"""A listing for LaTeX: as wide and as high as a page of LNCS, so that one source fits all classes.

As in tables, text is never smaller than ``\footnotesize`` and never scaled. What is too wide is
divided into tabulars below each other, and what is too high into several environments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from uad_bench.report.tables.formats.pages import COLUMN, HEIGHT, MOST_NOTES, PAGE, note_lines
from uad_bench.report.tables.formats.tex import breakable, escape, points, shortstack, wrapped
from uad_bench.report.tables.model import Note

if TYPE_CHECKING:
    from uad_bench.report.statistics.listing import Listing

Lines = tuple[tuple[str, ...], ...]

_GAP, _LINE, _CHARACTERS = 4.7, 11.0, 70
_HEAD = 62.0
"""Points at which the title of a column of numbers is wrapped."""
_WORDS = 220.0
"""Points that all columns of words may take."""


def latex(listing: Listing) -> str:
    """Write a listing as LaTeX source in ASCII, for the package booktabs.

    Its sentences are comments. Notes that find no room below a table follow as a paragraph.
    """
    parts = tuple(_parts(listing))
    pages = tuple(_pages(listing, len(parts)))
    notes = [breakable(_signed(text)) for text in listing.notes]
    below = (
        len(pages) == 1
        and (more := note_lines([Note("", text) for text in listing.notes])) <= MOST_NOTES
        and _height(listing, pages[0], len(parts)) + more * _LINE <= HEIGHT
    )
    name = f"uad-bench-{listing.name}"
    labels = [name if len(pages) == 1 else f"{name}-{at}" for at in range(1, len(pages) + 1)]
    source = [
        f"% Made by `uad-bench {listing.name}`. Needs the package booktabs.",
        *(f"% {escape(_signed(text))}" for text in listing.sentences),
    ]
    for label, lines in zip(labels, pages, strict=True):
        source += _environment(listing, parts, lines, label, notes if below else ())
    if notes and not below:
        source += [r"{\footnotesize\raggedright\noindent", *(rf"{one}\par" for one in notes), "}"]
    return "\n".join(source) + "\n"


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the columns of numbers, behind all columns of words.

    Attributes:
        columns: their places.
        width: points of the whole.
    """

    columns: tuple[int, ...]
    width: float


def _stub(listing: Listing) -> float:
    """Points at which words are wrapped."""
    return _WORDS / listing.words


def _parts(listing: Listing) -> Iterator[_Part]:
    """As many columns of numbers together as are not too wide."""
    words = sum(_width(listing, at) + _GAP for at in range(listing.words)) - _GAP
    columns: tuple[int, ...] = ()
    width = words
    for at in range(listing.words, len(listing.head)):
        own = _GAP + _width(listing, at)
        if columns and width + own > PAGE:
            yield _Part(columns, width)
            columns, width = (), words
        columns, width = (*columns, at), width + own
    yield _Part(columns, width)


def _width(listing: Listing, at: int) -> float:
    head, cells = listing.head[at], [line[at] for line in listing.lines]
    if at < listing.words:
        texts = [text for one in (head, *cells) for text in wrapped(one, _stub(listing))]
    else:
        texts = [*wrapped(head, _HEAD), *cells]
    return max(map(points, texts))


def _pages(listing: Listing, parts: int) -> Iterator[Lines]:
    """The lines of each environment: as many as are not too high."""
    page: Lines = ()
    for line in listing.lines:
        more = (*page, line)
        if page and _height(listing, more, parts) > HEIGHT:
            yield page
            more = (line,)
        page = more
    yield page


def _height(listing: Listing, lines: Lines, parts: int) -> float:
    """Estimated height in points of an environment without notes."""
    stub = _stub(listing)
    head = max(len(wrapped(title, _HEAD)) for title in listing.head)
    words = (line[: listing.words] for line in lines)
    rows = sum(max(len(wrapped(text, stub)) for text in some) for some in words)
    return _LINE * (ceil(len(listing.caption) / _CHARACTERS) + 2 + parts * (head + 3 + rows))


def _environment(
    listing: Listing, parts: Sequence[_Part], lines: Lines, label: str, notes: Sequence[str]
) -> Iterator[str]:
    kind = "table*" if max(part.width for part in parts) > COLUMN else "table"
    yield rf"\begin{{{kind}}}[tbp]"
    yield r"  \centering"
    yield rf"  \caption{{{breakable(_signed(listing.caption))}}}"
    yield rf"  \label{{tab:{label}}}"
    yield r"  \par\smallskip"
    yield r"  \footnotesize"
    yield r"  \setlength{\tabcolsep}{0.25em}"
    for place, part in enumerate(parts):
        if place:
            yield r"  \par\medskip"
        yield from _tabular(listing, part, lines)
    if notes:
        yield r"  \par\smallskip"
        yield r"  \begin{minipage}{\linewidth}"
        yield r"    \footnotesize\raggedright"
        yield from (rf"    {one}\par" for one in notes)
        yield r"  \end{minipage}"
    yield rf"\end{{{kind}}}"


def _tabular(listing: Listing, part: _Part, lines: Lines) -> Iterator[str]:
    words, stub = range(listing.words), _stub(listing)
    yield rf"  \begin{{tabular}}{{@{{}}{'l' * listing.words}{'r' * len(part.columns)}@{{}}}}"
    yield r"    \toprule"
    yield _row(
        *(shortstack(listing.head[at], stub, "l") for at in words),
        *(shortstack(listing.head[at], _HEAD, "r") for at in part.columns),
    )
    yield r"    \midrule"
    for line in lines:
        yield _row(
            *(shortstack(line[at], stub, "l") for at in words),
            *(escape(_signed(line[at])) for at in part.columns),
        )
    yield r"    \bottomrule"
    yield r"  \end{tabular}"


def _row(*cells: str) -> str:
    return f"    {' & '.join(cells)} \\\\"


def _signed(text: str) -> str:
    """Text with minus signs in front of numbers."""
    return re.sub(r"(?<![\w-])-(?=[\d.])", "\N{MINUS SIGN}", text)
