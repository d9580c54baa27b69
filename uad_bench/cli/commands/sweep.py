"""``uad-bench sweep``: train a method at several values of one parameter, and compare."""

from __future__ import annotations

from typing import Annotated

import typer

from uad_bench.cli.interruption import interrupted
from uad_bench.cli.options import ConfigFile, Given, takes
from uad_bench.cli.output import print_table
from uad_bench.cli.streams import echo
from uad_bench.results import ResultsFolder
from uad_bench.runner.settings import OF_SWEEPS


@takes(*OF_SWEEPS)
def sweep(
    given: Given,
    swept: Annotated[
        str, typer.Argument(metavar="METHOD.NAME", help="The parameter to sweep, as spa.beta.")
    ],
    values: Annotated[
        str | None,
        typer.Option(help="Its values, such as 0,1e-5,1e-3.  [default: over its search range]"),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Train a method once per value of one parameter, and measure it on healthy people.

    L1, KL, SSIM and, of a method with tissue maps, their Dice; a table, a CSV and a picture.
    Nothing here looks at lesions. Trained detectors are kept: the same command goes on where an
    interrupted one stopped.
    """
    from rich.console import Console

    from uad_bench.front.progress import LiveProgress
    from uad_bench.front.sweep import compute, parameter_of
    from uad_bench.report.figures.sweep import sweep_rows
    from uad_bench.runner.config import load_config

    method, name = parameter_of(swept)
    settings = load_config(config, {**given, "methods": method})
    folder = ResultsFolder(settings.results)
    messages = Console(stderr=True, markup=False)
    try:
        with LiveProgress(messages) as progress:
            done = compute(settings, name, values, (progress,))
    except KeyboardInterrupt:
        raise interrupted(messages, f"trained detectors are in {folder.root}") from None
    echo(f"{done.heading}\n")
    print_table(*sweep_rows(done))
    echo("\n" + "\n".join(done.notes()))
    written = folder.sweep(done.method, done.param) / "sweep.csv"
    messages.print(f"{written} and sweep.png", highlight=False, soft_wrap=True)
    if done.failed:
        count = f"{len(done.failed)} of {len(done.trainings)}"
        messages.print(f"{count} trainings failed; the lines below the table say why", style="red")
        raise typer.Exit(1)
