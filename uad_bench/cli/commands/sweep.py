"""``uad-bench sweep``: train a method at several values of one parameter, and compare."""

from __future__ import annotations

from typing import Annotated

import typer

from uad_bench.cli.options import ConfigFile, Given, takes
from uad_bench.cli.output import print_table
from uad_bench.cli.streams import echo
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.settings import DataSettings, StoreSettings, TrainingSettings


@takes(DataSettings, TrainingSettings, StoreSettings, "scheduler", "cluster", "device", "results")
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
    # Heavy imports wait until the options are known to be right.
    from uad_bench.runner.config import load_config

    method, _, name = swept.partition(".")
    if not method or not name:
        raise UadBenchError(f"{swept}: write METHOD.NAME, such as spa.beta")
    settings = load_config(config, {**given, "methods": method})

    from rich.console import Console

    from uad_bench.front.progress import LiveProgress
    from uad_bench.report.figures.sweep import sweep_rows
    from uad_bench.runner.place import device_of
    from uad_bench.runner.plan.sweep import plan_sweep
    from uad_bench.runner.sweep import run_sweep, write_sweep
    from uad_bench.system.yaml_files import Written

    on = device_of(settings)
    chosen = None if values is None else [Written(text) for text in _split(values)]
    plan = plan_sweep(settings, name, chosen, open_registry(settings.plugin), on)
    folder = ResultsFolder(settings.results)
    messages = Console(stderr=True)
    try:
        with LiveProgress(messages) as progress:
            done = run_sweep(plan, on, (progress,))
    except KeyboardInterrupt:
        messages.print(
            f"interrupted: trained detectors are in {folder.root}; the same command goes on",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
    written = write_sweep(done, folder)
    echo(f"{done.heading}\n")
    print_table(*sweep_rows(done))
    echo("\n" + "\n".join(done.notes()))
    messages.print(f"{written / 'sweep.csv'} and sweep.png", highlight=False, soft_wrap=True)
    if done.failed:
        count = f"{len(done.failed)} of {len(done.trainings)}"
        messages.print(f"{count} trainings failed; the lines below the table say why", style="red")
        raise typer.Exit(1)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
