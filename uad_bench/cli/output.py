"""Tables and facts on stdout: aligned text, wrapped to the terminal's width where there is one.

Not drawn by rich, whose import would double the time that ``uad-bench list`` takes.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

import typer

from uad_bench.cli.streams import echo

_GAP = "  "
_LEAST_WIDTH = 30
"""Columns left to a table's last column on a narrow terminal."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below headings. On a terminal the last column wraps; in a pipe it does not."""
    lines = [columns, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns) - 1)]
    indent = sum(widths) + len(_GAP) * len(widths)
    room = _terminal_width() - indent if sys.stdout.isatty() else 0
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        last = textwrap.wrap(line[-1], max(room, _LEAST_WIDTH)) if room else [line[-1]]
        text = f"\n{' ' * indent}".join(last)
        row = _GAP.join([*cells, text]).rstrip()
        echo(typer.style(row, bold=True) if line is columns and sys.stdout.isatty() else row)


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values, aligned; facts without a value are left out."""
    known = [(name, value) for name, value in facts if value]
    width = max(len(name) for name, _ in known)
    for name, value in known:
        echo(f"{name.ljust(width)}{_GAP}{value}")


def print_block(heading: str, text: str) -> None:
    """Print a heading and indented text after an empty line; nothing for empty text."""
    if text:
        lines = (f"{_GAP}{line}".rstrip() for line in text.splitlines())
        echo("\n".join(["", heading, *lines]))


def cells_in_words(number: int) -> str:
    """Return ``1 cell``, ``2 cells`` and so on."""
    return f"{number} {'cell' if number == 1 else 'cells'}"


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns
