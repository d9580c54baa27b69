"""``uad-bench table``: the results of a run, and the paper's, in a format to publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uad_bench.cli.options import RESULTS, FormatName, OutputFile, PluginPaths, ResultsPath
from uad_bench.cli.output import say_written
from uad_bench.cli.streams import echo
from uad_bench.plugins.registry import open_registry
from uad_bench.system.collector import collector_paused
from uad_bench.system.disk import write_whole

if TYPE_CHECKING:
    from uad_bench.cells import CellRecord


def table(
    results: ResultsPath = RESULTS,
    form: FormatName = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="In the form of the paper's table2 to table5."),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods, in this order.  [default: all, in the run's]")
    ] = None,
    postprocessing: Annotated[
        str | None, typer.Option(help="Post-processings, in this order.  [default: all]")
    ] = None,
    controls: Annotated[
        str | None, typer.Option(help="Controls, in this order, or none.  [default: all]")
    ] = None,
    datasets: Annotated[
        str | None, typer.Option(help="Datasets, in this order.  [default: all, in the run's]")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help="datasets or methods.  [default: datasets if that fits]")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Protocols.  [default: all that were run]")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="template or native.  [default: all that were run]")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Metrics, as auprc,hd95.  [default: the protocol's]")
    ] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Show 95 % intervals over patients.")
    ] = False,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Add the paper's numbers and our differences from them; alone without results.",
        ),
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="Add this method's average improvement and paired tests against every other.",
        ),
    ] = None,
    output: OutputFile = None,
    plugin: PluginPaths = None,
) -> None:
    """Write the tables of a results folder: datasets by methods, or methods by datasets."""
    from uad_bench.cli.tables import print_tables
    from uad_bench.report.tables.chosen import chosen_tables
    from uad_bench.report.tables.formats.names import format_of
    from uad_bench.report.tables.formats.render import render

    chosen = format_of(form, output)
    with collector_paused():  # until the records are gone again
        tables = chosen_tables(
            _records(results, optional=published, scans=compare is not None),
            open_registry(plugin),
            like=like,
            metrics=metrics,
            methods=methods,
            postprocessing=postprocessing,
            controls=controls,
            datasets=datasets,
            rows=rows,
            protocol=protocol,
            space=space,
            intervals=intervals,
            published=published,
            compare=compare,
        )
    if output is not None:
        write_whole(output, render(tables, chosen).encode())
        say_written(output)
    elif chosen == "terminal":
        print_tables(tables)
    else:
        echo(render(tables, chosen).removesuffix("\n"))


def _records(results: Path, *, optional: bool, scans: bool) -> tuple[CellRecord, ...]:
    """The folder's records; none where the paper's numbers can stand alone."""
    from uad_bench.results import ResultsFolder, load_lean_cells

    if optional and not any(ResultsFolder(results).cells.glob("*.json")):
        return ()
    return load_lean_cells(results, scans=scans)
