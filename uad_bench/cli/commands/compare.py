"""``uad-bench compare``: how far methods are apart, and how sure that is."""

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


def compare(
    methods: Annotated[
        list[str],
        typer.Argument(
            metavar="METHOD", help="Two or more; the first is compared with each of the others."
        ),
    ],
    results: ResultsPath = RESULTS,
    metric: MetricName = None,
    datasets: DatasetNames = None,
    protocol: ProtocolName = None,
    space: SpaceName = "template",
    postprocessing: PostProcessingName = None,
    form: FormatName = None,
    output: OutputFile = None,
    plugin: PluginPaths = None,
) -> None:
    """Compare a method with others on the subjects that they have in common.

    Per dataset and over all of them: the difference with its interval, a p-value after correction
    for all comparisons, and a sentence that says what may be claimed.
    """
    from uad_bench.cli.listings import put_listing
    from uad_bench.front.loading import load_results
    from uad_bench.report.tables.choice import names
    from uad_bench.report.tables.formats.names import format_of

    chosen = format_of(form, output)
    found = load_results(results, plugin=plugin or ()).compare(
        *(name for some in methods for name in names("methods", some)),
        metric=metric,
        datasets=datasets,
        protocol=protocol,
        space=space,
        postprocessing=postprocessing,
    )
    put_listing(found.listing, chosen, output)
