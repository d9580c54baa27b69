"""Tables on stdout: in colour and as wide as a terminal, or as plain text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from uad_bench.cli.streams import echo
from uad_bench.report.tables.formats.render import render
from uad_bench.report.tables.formats.terminal import terminal
from uad_bench.report.tables.model import Table


def print_tables(tables: Sequence[Table]) -> None:
    """Print tables one after the other."""
    if not sys.stdout.isatty():
        echo(render(tables, "terminal").removesuffix("\n"))
        return
    console = Console()
    for number, one in enumerate(tables):
        console.print(*[""] * (number > 0), terminal(one, console.width), sep="\n")
