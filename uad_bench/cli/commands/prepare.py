"""``uad-bench prepare``: from raw scans to prepared datasets, with a page to look at."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from uad_bench.cli.options import LesionPattern, MaskShift, PluginPaths, open_registry
from uad_bench.cli.streams import echo
from uad_bench.front.progress import LiveProgress

if TYPE_CHECKING:
    from uad_bench.runner.preparation.orders import PreparedOrder, Request
    from uad_bench.volumes.store.prepare import Order
    from uad_bench.volumes.store.workers import Outcome


def prepare(
    datasets: Annotated[
        str, typer.Option(help="Datasets, bids:PATH, or all that lie in the data root.")
    ] = "all",
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="UAD_BENCH_DATA", help="Folder with the real datasets."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="median, paper, or a YAML file.")] = "median",
    template: Annotated[
        Path | None, typer.Option(help="Folder of SRI24, to register to it instead of MNI152.")
    ] = None,
    tissues: Annotated[
        str | None,
        typer.Option(help="Tissue maps of healthy scans: atropos, or a YAML mapping file."),
    ] = None,
    lesion_pattern: LesionPattern = None,
    mask_shift: MaskShift = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many subjects per dataset and split.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, help="Processes.  [default: all cores]")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where datasets are kept.  [default: user cache]")
    ] = None,
    page: Annotated[Path, typer.Option(help="Folder of the quality page and its pictures.")] = Path(
        "preparation"
    ),
    plugin: PluginPaths = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and how long it takes.")
    ] = False,
) -> None:
    """Bring raw scans to the template and write datasets that every later run uses.

    Each scan is stripped, registered, normalised and sliced as far as it needs. What is done is
    kept: the same command goes on where an interrupted one stopped.
    """
    # Heavy imports wait until the options are known to be right.
    from uad_bench.runner.preparation.orders import Request, take_orders

    request = Request(
        datasets=tuple(dict.fromkeys(name.strip() for name in datasets.split(","))),
        data_root=data_root,
        recipe=recipe,
        template=template,
        tissues=tissues,
        lesion_pattern=lesion_pattern,
        mask_shift=mask_shift or 0.0,
        limit=limit,
        jobs=jobs or os.cpu_count() or 1,
        cache=cache,
        page=page,
    )
    messages = Console(stderr=True)

    def note(text: str) -> None:
        messages.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)

    orders = take_orders(request, open_registry(plugin), note)
    if dry_run:
        for label, order in orders:
            _print_plan(label, order, request)
        return
    try:
        prepared = _prepare(orders, request, messages)
    except KeyboardInterrupt:
        again = shlex.join(["uad-bench", *sys.argv[1:]])
        messages.print(
            f"interrupted: finished steps are kept; go on with: {again}",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
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
