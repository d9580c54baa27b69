"""A list of results, one line each, whose columns are different things, in one of five formats."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape as html_escape
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from uad_bench.report.statistics.latex import latex
from uad_bench.report.tables.formats.names import Format
from uad_bench.report.tables.formats.spreadsheet import inert

if TYPE_CHECKING:
    import pandas as pd

Value = str | int | float | bool | None

_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Listing:
    """What a renderer needs.

    Attributes:
        name: short name for LaTeX labels.
        caption: what a reader must know.
        head: titles of the columns. The first ``words`` of them hold words, the others numbers.
        words: how many columns hold words.
        lines: the cells as shown.
        sentences: what the lines say, in words.
        notes: what is missing, and why.
        values: the same lines at full precision, by the names of their columns; at least one.
    """

    name: str
    caption: str
    head: tuple[str, ...]
    words: int
    lines: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    values: tuple[Mapping[str, Value], ...]

    def to_frame(self) -> pd.DataFrame:
        """The lines at full precision as a data frame."""
        import pandas as pd

        frame = pd.DataFrame(list(self.values))
        gaps = [name for name in frame if frame[name].isna().any()]
        numbers = [
            name
            for name in gaps
            if not any(isinstance(line[str(name)], str) for line in self.values)
        ]
        return frame.astype(dict.fromkeys(numbers, float))


def render_listing(listing: Listing, form: Format) -> str:
    """Write a listing as text that ends in a line end.

    Args:
        listing: what to write.
        form: ``terminal`` (without colours), ``latex``, ``markdown``, ``csv`` or ``html``.
    """
    write = {
        "terminal": _plain,
        "latex": latex,
        "markdown": _markdown,
        "csv": _csv,
        "html": _html,
    }[form]
    return write(listing)


def terminal_listing(listing: Listing) -> Group:
    """Make something a rich console can print."""
    grid = RichTable(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for at, title in enumerate(listing.head):
        words = at < listing.words
        grid.add_column(Text(title), justify="left" if words else "right", no_wrap=not words)
    for line in listing.lines:
        grid.add_row(*map(Text, line))
    parts: list[RenderableType] = [Text(listing.caption), Text(), grid, Text()]
    parts += [Text(f"• {text}") for text in listing.sentences]
    parts += [Text(text, style="dim") for text in listing.notes]
    return Group(*parts)


def _plain(listing: Listing) -> str:
    console = Console(width=_WIDTH, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_listing(listing))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _markdown(listing: Listing) -> str:
    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(_in_markdown, cells))} |"

    sides = [":--" if at < listing.words else "--:" for at in range(len(listing.head))]
    table = [row(listing.head), f"| {' | '.join(sides)} |", *map(row, listing.lines)]
    parts = [_in_markdown(listing.caption), "\n".join(table)]
    if listing.sentences:
        parts.append("\n".join(f"- {_in_markdown(text)}" for text in listing.sentences))
    return "\n\n".join([*parts, *map(_in_markdown, listing.notes)]) + "\n"


def _in_markdown(text: str) -> str:
    """Text that Markdown shows as it stands, on one line."""
    return "".join(f"\\{one}" if one in r"\`*_[]<>|#~" else one for one in " ".join(text.split()))


def _html(listing: Listing) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        return f"<tr>{''.join(f'<{tag}>{html_escape(text)}</{tag}>' for text in cells)}</tr>"

    lines = "".join(row("td", line) for line in listing.lines)
    said = "".join(f"<li>{html_escape(text)}</li>" for text in listing.sentences)
    notes = "".join(f"<p>{html_escape(text)}</p>" for text in listing.notes)
    return (
        f"<table><caption>{html_escape(listing.caption)}</caption>"
        f"<thead>{row('th', listing.head)}</thead><tbody>{lines}</tbody></table>"
        f"{f'<ul>{said}</ul>' if said else ''}{notes}\n"
    )


def _csv(listing: Listing) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(listing.values[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: inert(value) for name, value in line.items()} for line in listing.values
    )
    return file.getvalue()
