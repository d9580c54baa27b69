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
    form: FormatName = "terminal",
    output: OutputFile = None,
    plugin: PluginPaths = None,
) -> None:
    """Show whether a metric differs between groups of people or of lesions.

    Site, scanner, age and sex come from participants.tsv, lesion volume and number from the masks.
    """
    from uad_bench.cli.listings import listing_format, put_listing
    from uad_bench.front.results import Results
    from uad_bench.results import load_cells

    chosen = listing_format(form)
    found = Results(results, load_cells(results), plugin=tuple(plugin or ())).strata(
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
