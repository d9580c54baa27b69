"""``uad-bench prepare``: from raw scans to prepared datasets, with a page to look at."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from uad_bench.cli.interruption import interrupted
from uad_bench.cli.options import DatasetWords, Given, takes, with_datasets
from uad_bench.cli.streams import echo
from uad_bench.front.progress import LiveProgress
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.settings import DatasetSettings, PreparationSettings, StoreSettings

if TYPE_CHECKING:
    from uad_bench.runner.preparation.orders import PreparedOrder, Request
    from uad_bench.volumes.store.prepare import Order
    from uad_bench.volumes.store.workers import Outcome


@takes(DatasetSettings, PreparationSettings, StoreSettings)
def prepare(
    given: Given,
    names: DatasetWords = None,
    page: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the quality page and its pictures.")
    ] = Path("preparation"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and how long it takes.")
    ] = False,
) -> None:
    """Bring raw scans to the template and write datasets that every later run uses.

    Each scan is stripped, registered, normalised and sliced as far as it needs. What is done is
    kept: the same command goes on where an interrupted one stopped.
    """
    # Heavy imports wait until the options are known to be right.
    from uad_bench.runner.config import load_settings
    from uad_bench.runner.preparation.orders import Request, take_orders

    request = Request(load_settings(with_datasets(given, names)), page)
    messages = Console(stderr=True)

    def note(text: str) -> None:
        messages.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)

    orders = take_orders(request, open_registry(request.config.plugin), note)
    if dry_run:
        for label, order in orders:
            _print_plan(label, order, request)
        return
    try:
        prepared = _prepare(orders, request, messages)
    except KeyboardInterrupt:
        raise interrupted(messages, "finished steps are kept") from None
    for dataset in prepared:
        echo(_summary(dataset))
    echo(f"look at every scan: {page / 'index.html'}")
    if any(dataset.store is None for dataset in prepared):
        raise typer.Exit(1)


def _prepare(
    orders: tuple[tuple[str, Order], ...], request: Request, messages: Console
) -> list[PreparedOrder]:
    """Prepare dataset after dataset, then write the page."""
    from uad_bench.runner.preparation.orders import prepare_order
    from uad_bench.runner.preparation.page import write_page

    prepared = []
    with LiveProgress(messages) as progress:
        for label, order in orders:
            total, done = len(order.inputs), 0
            progress.stage(f"prepare {label}")

            def tell(outcome: Outcome, label: str = label, total: int = total) -> None:
                nonlocal done
                done += 1
                progress.line(f"{label} {outcome.name}: {_became(outcome)}")
                progress.step(done, total)

            prepared.append(prepare_order(label, order, request, tell))
        progress.stage("draw scans")
        write_page(prepared, request, progress.step)
    return prepared


def _became(outcome: Outcome) -> str:
    """What became of a scan, in a few words."""
    from uad_bench.volumes.store.workers import LeftOut

    if isinstance(outcome, LeftOut):
        return f"left out: {outcome.reason}"
    costs = (f"{step.name} {step.seconds:.1f} s" for step in outcome.standard.steps)
    return f"{len(outcome.slices.z)} slices ({', '.join(costs)})"


def _summary(dataset: PreparedOrder) -> str:
    """One line per dataset, for standard output."""
    states = Counter(scan.state for scan in dataset.excluded)
    left = "".join(f", {count} {state}" for state, count in sorted(states.items()))
    where = "nothing can be used" if dataset.store is None else str(dataset.store)
    return f"{dataset.label}: {len(dataset.scans)} ready{left}: {where}"


def _print_plan(label: str, order: Order, request: Request) -> None:
    """What would be done with each scan, and how long all of it should take."""
    from uad_bench.cli.output import print_table
    from uad_bench.runner.preparation.orders import expected_seconds, plan_scans

    scans = list(plan_scans(order))
    rows = []
    for scan in scans:
        steps = ", ".join(f"{step.name} (done)" if step.done else step.name for step in scan.steps)
        rows.append((scan.name, scan.problem or steps))
    rows += [(left.scan, f"excluded: {left.reason}") for left in order.excluded]
    print_table((label, "TO DO"), rows)
    seconds = expected_seconds(scans, order.preparation, request.jobs)
    minutes, rest = divmod(round(seconds), 60)
    time = f"{minutes} min {rest} s" if minutes else f"{rest} s"
    echo(f"about {time} with {request.jobs} processes\n")
