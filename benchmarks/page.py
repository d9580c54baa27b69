"""The table as text on the screen, and as a page of the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Row

_COLUMNS = ("work", "ours", "compared with", "theirs", "ratio or figure", "goal", "")
_PACKAGES = ("numpy", "scipy", "numba", "torch", "scikit-learn", "monai", "surface-distance")
_REACHED = {True: "reached", False: "not reached", None: ""}

_HEAD = """# Performance

How fast each piece is, beside what users would pick instead. Both ran in turns, in one process,
on the same input; a figure is the median. That both give the same result is checked before the time
is taken. Read the ratios: the seconds are those of one machine. This page is made again by
{command}.

"""

COMMAND = "`python -m benchmarks --page docs/performance.md`, with the extra `benchmarks`"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's text, column by column."""
    return (
        row.work,
        row.ours,
        row.peer,
        row.theirs,
        row.got,
        row.goal,
        _REACHED[row.reached],
    )


def screen(title: str, rows: Sequence[Row]) -> str:
    """Return the rows of a piece for a terminal."""
    table = Table(*_COLUMNS, title=title, title_justify="left")
    for row in rows:
        table.add_row(*cells(row))
    console = Console(width=150)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def page(tables: Mapping[str, Sequence[Row]], command: str = COMMAND) -> str:
    """Return the page in Markdown.

    Args:
        tables: by title, the rows of each piece.
        command: what makes the page again.
    """
    parts = [_HEAD.format(command=command) + machine() + "\n"]
    for title, rows in tables.items():
        lines = [_COLUMNS, ("---",) * len(_COLUMNS), *map(cells, rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"## {title.rstrip('.')}\n\n{table}\n")
    return "\n".join(parts)


def machine() -> str:
    """Say on what was measured."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else platform.processor()
    except OSError:
        processor = platform.processor()
    found = ", ".join(f"{name} {version(name)}" for name in _PACKAGES if _is_installed(name))
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {processor}; "
        f"Python {platform.python_version()}, {found}.\n"
    )


def _is_installed(package: str) -> bool:
    """Whether it is: a GPU is measured without the programs that others would pick."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
