"""``uad-bench run``: tune, train, evaluate and tabulate."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from uad_bench.cli.interruption import interrupted, same_command
from uad_bench.cli.options import ConfigFile, Given, takes
from uad_bench.cli.output import cells_in_words
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.config import RunConfig, load_config

if TYPE_CHECKING:
    from rich.console import Console

    from uad_bench.front.results import Results as RunResults


@takes(RunConfig)
def run(
    given: Given,
    config: ConfigFile = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check files, print the plan and what it takes, and stop."),
    ] = False,
) -> None:
    """Tune, train, evaluate and tabulate detectors on every dataset.

    Without --data-root everything runs on simulated datasets. Finished cells are kept: the same
    command goes on where an interrupted one stopped.
    """
    from rich.console import Console

    from uad_bench.cli.tables import print_tables

    settings = load_config(config, given)
    messages = Console(stderr=True, markup=False)
    if dry_run:
        _show_plan(settings, messages)
        return
    done = _run(settings, messages)
    if done.cells:
        print_tables(done.table().tables)
    messages.print(
        f"{cells_in_words(len(done.cells))}, {done.computed} computed now, in {done.folder}; "
        f"`uad-bench table --results {quote(str(done.folder))} -f latex` writes the tables",
        highlight=False,
        soft_wrap=True,
    )
    if done.failed:
        count = cells_in_words(len(done.failed))
        messages.print(f"{count} failed; the table's footnotes say why", style="red")
        raise typer.Exit(1)


def _run(config: RunConfig, messages: Console) -> RunResults:
    """Do the run; say how to go on where it is interrupted."""
    from uad_bench.front.progress import LiveProgress
    from uad_bench.front.run import compute

    try:
        with LiveProgress(messages) as progress:
            return compute(config, (progress,), command=same_command())
    except KeyboardInterrupt:
        kept = f"finished cells are in {config.results}"
        if config.overwrite == "all":
            kept += (
                "; those that were not overwritten yet are as before, and --overwrite all would "
                "begin anew"
            )
        raise interrupted(messages, kept) from None


def _show_plan(config: RunConfig, messages: Console) -> None:
    """Check files and print what a run would do, and what it takes; write nothing."""
    from uad_bench.cli.plan_table import print_plan
    from uad_bench.front.progress import LiveProgress
    from uad_bench.results import ResultsFolder, stored_cells
    from uad_bench.runner.costs.estimate import estimate
    from uad_bench.runner.data.gather import find_files
    from uad_bench.runner.place import device_of
    from uad_bench.runner.plan.make import make_plan
    from uad_bench.runner.store import CellStore

    plan = make_plan(config, open_registry(config.plugin))
    device = device_of(config)
    results = ResultsFolder(config.results)
    with LiveProgress(messages) as progress:
        for note in plan.notes:
            progress.note(note)
        CellStore.of(plan, progress).refuse_other_versions(plan.cells())
        sources = plan.sources
        orders = find_files(
            config,
            sources.training,
            sources.evaluated,
            progress,
            supervised=sources.supervised,
            simulate=False,
        )
        cells = tuple(stored_cells(results))
        expected = estimate(plan, orders, cells, device, progress.busy)
    print_plan(plan, cells, results, expected)
