"""``uad-bench report``: the results of a run as one page of HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uad_bench.cli.options import RESULTS, PluginPaths, ResultsPath
from uad_bench.cli.streams import echo


def report(
    results: ResultsPath = RESULTS,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The page.  [default: report.html in the folder]"
        ),
    ] = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Show scans; leave them out.")
    ] = True,
    patients: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Scans of each dataset to show: worst, median and best of each method first.",
        ),
    ] = 4,
    most_mb: Annotated[
        float,
        typer.Option(metavar="MB", help="Most megabytes of the page; the rest is left out."),
    ] = 20.0,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of prepared datasets.  [default: in the user's cache]"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1, or auto.")] = "auto",
    plugin: PluginPaths = None,
) -> None:
    """Write one page of HTML: tables, curves, patients to look at, what ran, and what failed."""
    from uad_bench.front.loading import load_results

    page = load_results(results, plugin=plugin or ()).report(
        output, images=images, patients=patients, most_mb=most_mb, cache=cache, device=device
    )
    echo(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")
