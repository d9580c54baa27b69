"""``uad-bench curves``: the precision-recall curves of a run, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uad_bench.cli.options import RESULTS, PluginPaths, ResultsPath
from uad_bench.cli.output import say_written
from uad_bench.plugins.registry import open_registry
from uad_bench.system.disk import write_whole


def curves(
    results: ResultsPath = RESULTS,
    protocol: Annotated[str, typer.Option(help="A protocol that was run.")] = "strict",
    space: Annotated[str, typer.Option(help="Voxels that were scored: template or native.")] = (
        "template"
    ),
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The PNG.  [default: curves.png in the folder]"
        ),
    ] = None,
    plugin: PluginPaths = None,
) -> None:
    """Draw precision against recall, a panel per dataset and a line per method."""
    from uad_bench.report.figures.curves import curves_picture
    from uad_bench.report.tables.chosen import one_space
    from uad_bench.results import load_cells

    registry = open_registry(plugin)
    chosen, records = registry.protocol(protocol), load_cells(results)
    postprocessings = registry.postprocessings({record.spec.postprocessing for record in records})
    picture = curves_picture(records, results, chosen, postprocessings, one_space(space))
    file = output or results / "curves.png"
    write_whole(file, picture)
    say_written(file)
