"""``uad-bench curves``: the precision-recall curves of a run, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from uad_bench.cells import ProtocolName
from uad_bench.cli.options import SpaceName
from uad_bench.cli.streams import echo
from uad_bench.errors import UadBenchError
from uad_bench.results import load_cells
from uad_bench.system.disk import write_whole


def curves(
    results: Annotated[Path, typer.Option(help="A run's results folder.")] = Path("results"),
    protocol: Annotated[str, typer.Option(help="strict or paper.")] = "strict",
    space: SpaceName = "template",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The PNG.  [default: curves.png in the folder]"
        ),
    ] = None,
) -> None:
    """Draw precision against recall, a panel per dataset and a line per method."""
    from uad_bench.report.figures.curves import curves_picture
    from uad_bench.report.tables.chosen import one_space

    known: tuple[ProtocolName, ...] = get_args(ProtocolName)
    chosen = next((name for name in known if name == protocol), None)
    if chosen is None:
        raise UadBenchError(f"--protocol {protocol}: unknown; available: {', '.join(known)}")
    picture = curves_picture(load_cells(results), results, chosen, one_space(space))
    file = output or results / "curves.png"
    write_whole(file, picture)
    echo(str(file))
