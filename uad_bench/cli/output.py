"""Tables and facts on stdout: aligned text, wrapped to the terminal's width where there is one.

Not drawn by rich, whose import would double the time that ``uad-bench list`` takes.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import typer

from uad_bench.cli.streams import echo
from uad_bench.system.disk import is_stream

_GAP, _BELOW = "  ", "    "
_LEAST_WIDTH = 30
"""Columns that a table's last column must have beside the others."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below headings. On a terminal the last column wraps; in a pipe it does not.

    On a terminal that leaves the last column too little room, it is below the others.
    """
    lines = [columns, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns) - 1)]
    indent, on_terminal = sum(widths) + len(_GAP) * len(widths), sys.stdout.isatty()
    is_below = on_terminal and _terminal_width() - indent < _LEAST_WIDTH
    for line in lines:
        row = _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=False))
        if is_below:
            text = f"{row.rstrip()}\n{_BELOW}{_wrapped(line[-1], len(_BELOW))}".rstrip()
        else:
            text = f"{row}{_GAP}{_wrapped(line[-1], indent)}".rstrip()
        echo(typer.style(text, bold=True) if line is columns and on_terminal else text)


def say_written(file: Path) -> None:
    """Print which file was written; nothing where it was a stream, such as stdout itself."""
    if not is_stream(file):
        echo(str(file))


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names and values, aligned; facts without a value are left out."""
    known = [(name, value) for name, value in facts if value]
    width = max(len(name) for name, _ in known)
    for name, value in known:
        echo(f"{name.ljust(width)}{_GAP}{_wrapped(value, width + len(_GAP))}")


def print_block(heading: str, text: str) -> None:
    """Print a heading and indented text after an empty line; nothing for empty text."""
    if text:
        lines = (f"{_GAP}{line}".rstrip() for line in text.splitlines())
        echo("\n".join(["", heading, *lines]))


def cells_in_words(number: int) -> str:
    """Return ``1 cell``, ``2 cells`` and so on."""
    return f"{number} {'cell' if number == 1 else 'cells'}"


def _wrapped(text: str, indent: int) -> str:
    """Text that fits beside or below others on a terminal; in a pipe it stays one line."""
    if not sys.stdout.isatty():
        return text
    room = max(_terminal_width() - indent, _LEAST_WIDTH)
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
    return f"\n{' ' * indent}".join(lines)


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns
