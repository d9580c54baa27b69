"""``uad-bench plot``: a figure of a run, for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uad_bench.cli.options import RESULTS, PluginPaths, ResultsPath
from uad_bench.cli.output import print_table, say_written


def plot(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The figure; without one, all are listed."),
    ] = None,
    results: ResultsPath = RESULTS,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Ends in .pdf, .svg or .png.  [default: NAME.pdf in the results folder]",
        ),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Methods.  [default: all that were run]")
    ] = None,
    datasets: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Datasets.  [default: all that were run]")
    ] = None,
    postprocessing: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Post-processings.  [default: all that were run]"),
    ] = None,
    controls: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Controls, or none.  [default: all that were run]"),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric, as dice.  [default: the figure's own]")
    ] = None,
    protocol: Annotated[str, typer.Option(help="A protocol that was run.")] = "strict",
    space: Annotated[str, typer.Option(help="Voxels that were scored: template or native.")] = (
        "template"
    ),
    swept: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD.NAME", help="Which sweep, for sweep.  [default: the only one]"
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of prepared datasets, for lesions, latent and froc.  "
            "[default: in the user's cache]",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Torch device of detectors, for lesions, latent and froc.")
    ] = "auto",
    plugin: PluginPaths = None,
) -> None:
    """Draw a figure from the results: sized for a column, with vectors as PDF or SVG."""
    from uad_bench.report.plots.catalogue import SHOWS, SWEEP

    if name is None:
        print_table(("figure", "what it shows"), list(SHOWS.items()))
        return
    from uad_bench.front.loading import load_results
    from uad_bench.front.results import Results

    file = output or results / f"{name}.pdf"
    plugins = tuple(plugin or ())
    # a sweep leaves no cells
    found = (
        Results(results, (), plugin=plugins)
        if name == SWEEP
        else load_results(results, plugin=plugins)
    )
    found.plot(
        name,
        file,
        methods=methods,
        datasets=datasets,
        postprocessing=postprocessing,
        controls=controls,
        metric=metric,
        protocol=protocol,
        space=space,
        swept=swept,
        cache=cache,
        device=device,
    )
    say_written(file)
