"""``uad-bench sync``: send to MLflow what a run could not."""

from __future__ import annotations

from typing import Annotated

import typer

from uad_bench.cli.options import RESULTS, PluginPaths, ResultsPath
from uad_bench.cli.output import cells_in_words
from uad_bench.cli.streams import echo
from uad_bench.plugins.registry import open_registry


def sync(
    results: ResultsPath = RESULTS,
    models: Annotated[
        bool, typer.Option("--models", help="Log detectors as MLflow models too.")
    ] = False,
    register: Annotated[
        bool,
        typer.Option(
            "--register", help="And make each a version of the registered model uad-bench-METHOD."
        ),
    ] = False,
    plugin: PluginPaths = None,
) -> None:
    """Send to MLflow what it does not have yet: commands, detectors, tuning trials and cells.

    The server is MLFLOW_TRACKING_URI, else the database mlflow.db in the results folder.
    """
    from uad_bench import tracking
    from uad_bench.report.tables.versions import refuse_other_version
    from uad_bench.results import ResultsFolder, load_cells
    from uad_bench.runner.listeners import tables_in

    records, registry = load_cells(results), open_registry(plugin)
    refuse_other_version(
        records,
        [registry.protocol(name) for name in sorted({one.spec.protocol for one in records})],
        registry.postprocessings({one.spec.postprocessing for one in records}),
    )
    tracker = tracking.default_tracker(results)
    done = tracking.sync(ResultsFolder(results), tracker, tables_in(registry))
    echo(
        f"MLflow at {tracker.where}: {cells_in_words(len(done.sent))} sent, "
        f"{len(done.already)} were there, {len(done.failed)} refused",
        err=True,
    )
    for name, reason in done.failed:
        echo(f"{name}: {reason}", err=True)
    if models or register:
        found = tracking.sync_models(ResultsFolder(results), tracker, register=register)
        told = [*filter(None, [", ".join(found.sent)])]
        told += [f"{len(found.already)} were there"] if found.already else []
        echo(f"MLflow models: {'; '.join(told) or 'no detector is kept'}", err=True)
    if done.failed:
        raise typer.Exit(1)
