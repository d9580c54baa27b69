"""``uad-bench export``: results as one zip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uad_bench.cli.options import RESULTS, PluginPaths, ResultsPath
from uad_bench.cli.output import cells_in_words
from uad_bench.cli.streams import echo
from uad_bench.plugins.registry import open_registry


def export(
    archive: Annotated[Path, typer.Argument(metavar="RUN.zip", help="The zip to write.")],
    results: ResultsPath = RESULTS,
    detectors: Annotated[
        bool, typer.Option("--detectors", help="Put the cells' detectors in too.")
    ] = False,
    histograms: Annotated[
        bool,
        typer.Option(
            "--histograms/--no-histograms",
            help="Put the histograms of scores in, which curves need: nearly all of the size.",
        ),
    ] = True,
    plugin: PluginPaths = None,
) -> None:
    """Write all cells of a results folder, and what their numbers stand on, into one zip.

    No image goes in, and no path of this machine. It says what goes in; so does archive.json, the
    zip's first file.
    """
    from uad_bench.results import ResultsFolder, load_cells
    from uad_bench.sharing.export import export_cells

    folder, registry = ResultsFolder(results), open_registry(plugin)
    cells = load_cells(results)
    done = export_cells(
        folder, cells, archive, registry, detectors=detectors, histograms=histograms
    )
    size = archive.stat().st_size / 1e6
    echo(f"{cells_in_words(done.cells)} in {archive} ({size:.1f} MB)")
    for note in done.notes:
        echo(f"  {note}")
