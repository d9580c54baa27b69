"""Listings on stdout or in a file: in colour and as wide as a terminal, or as plain text."""

from __future__ import annotations

import sys
from pathlib import Path

from uad_bench.cli.streams import echo
from uad_bench.errors import UadBenchError
from uad_bench.report.statistics.listing import (
    LISTING_FORMATS,
    Listing,
    ListingFormat,
    render_listing,
    terminal_listing,
)
from uad_bench.system.disk import write_whole


def listing_format(text: str) -> ListingFormat:
    """Return the format of that name.

    Raises:
        UadBenchError: there is none.
    """
    found = next((one for one in LISTING_FORMATS if one == text), None)
    if found is None:
        raise UadBenchError(f"--format {text}: unknown; available: {', '.join(LISTING_FORMATS)}")
    return found


def put_listing(listing: Listing, form: ListingFormat, output: Path | None) -> None:
    """Print a listing, or write it to a file."""
    if output is not None:
        write_whole(output, render_listing(listing, form).encode())
    elif form == "terminal" and sys.stdout.isatty():
        from rich.console import Console

        Console().print(terminal_listing(listing))
    else:
        echo(render_listing(listing, form).removesuffix("\n"))
