"""``uad-bench ui``: open MLflow on a results folder."""

from __future__ import annotations

from shlex import quote
from typing import Annotated

import typer

from uad_bench.cli.options import RESULTS, ResultsPath
from uad_bench.cli.streams import echo
from uad_bench.errors import UadBenchError


def ui(
    results: ResultsPath = RESULTS,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port.  [default: any that is free]")
    ] = None,
) -> None:
    """Serve MLflow's pages on the runs of a results folder, on this machine only, until Ctrl-C.

    Where MLFLOW_TRACKING_URI names a server, it says so and ends.
    """
    from uad_bench.tracking import default_tracker
    from uad_bench.tracking.server import serving

    tracker = default_tracker(results)
    if tracker.is_server:
        echo(f"MLflow is at {tracker.where} (MLFLOW_TRACKING_URI)")
        return
    if tracker.missing:
        raise UadBenchError(
            f"{tracker.missing}: no MLflow store: `uad-bench run` writes it, and `uad-bench sync "
            f"--results {quote(str(results))}` makes it from the results"
        )
    echo("MLflow starts, which takes some seconds ...", err=True)
    with serving(tracker, port) as pages:
        echo(pages.url)
        echo("Ctrl-C ends it", err=True)
        pages.process.wait()
    raise typer.Exit(1)
