"""``uad-bench strata``: a metric by group of scans."""

from __future__ import annotations

from typing import Annotated

import typer

from uad_bench.cli.options import (
    RESULTS,
    DatasetNames,
    FormatName,
    MetricName,
    OutputFile,
    PluginPaths,
    PostProcessingName,
    ProtocolName,
    ResultsPath,
    SpaceName,
)


def strata(
    by: Annotated[
        str,
        typer.Option(help="site, scanner, age, sex, lesion-volume or lesion-count."),
    ],
    results: ResultsPath = RESULTS,
    metric: MetricName = None,
    methods: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Methods.  [default: all but controls]"),
    ] = None,
    datasets: DatasetNames = None,
    protocol: ProtocolName = None,
    space: SpaceName = "template",
    postprocessing: PostProcessingName = None,
    fewest: Annotated[int, typer.Option(metavar="N", help="Show no group of fewer subjects.")] = 5,
    form: FormatName = None,
    output: OutputFile = None,
    plugin: PluginPaths = None,
) -> None:
    """Show whether a metric differs between groups of people or of lesions.

    Site, scanner, age and sex come from participants.tsv, lesion volume and number from the masks.
    """
    from uad_bench.cli.listings import put_listing
    from uad_bench.front.loading import load_results
    from uad_bench.report.tables.formats.names import format_of

    chosen = format_of(form, output)
    found = load_results(results, plugin=plugin or ()).strata(
        by,
        metric=metric,
        methods=methods,
        datasets=datasets,
        protocol=protocol,
        space=space,
        postprocessing=postprocessing,
        fewest=fewest,
    )
    put_listing(found.listing, chosen, output)
