"""Listings on stdout or in a file: in colour and as wide as a terminal, or as plain text."""

from __future__ import annotations

import sys
from pathlib import Path

from uad_bench.cli.output import say_written
from uad_bench.cli.streams import echo
from uad_bench.report.statistics.listing import Listing, render_listing, terminal_listing
from uad_bench.report.tables.formats.names import Format
from uad_bench.system.disk import write_whole


def put_listing(listing: Listing, form: Format, output: Path | None) -> None:
    """Print a listing, or write it to a file."""
    if output is not None:
        write_whole(output, render_listing(listing, form).encode())
        say_written(output)
    elif form == "terminal" and sys.stdout.isatty():
        from rich.console import Console

        Console().print(terminal_listing(listing))
    else:
        echo(render_listing(listing, form).removesuffix("\n"))
