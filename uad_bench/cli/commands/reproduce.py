"""``uad-bench reproduce``: an export run again, number by number."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uad_bench.cli.interruption import interrupted, same_command
from uad_bench.cli.options import Given, takes
from uad_bench.cli.output import print_table
from uad_bench.cli.streams import echo
from uad_bench.runner.settings import OF_MACHINE

if TYPE_CHECKING:
    from uad_bench.sharing.differences import Number


@takes(*OF_MACHINE)
def reproduce(
    given: Given,
    archive: Annotated[Path, typer.Argument(metavar="RUN.zip", help="What `export` wrote.")],
    results: Annotated[
        Path, typer.Option(metavar="NEW", help="A folder for the cells of now.", show_default=False)
    ],
) -> None:
    """Run the results in a zip again with their own settings, and say which numbers moved.

    Says first, before any training, which cells cannot be run again and why. Exits with 1 where
    there are any, or where a number moved by more than another processor explains. The same command
    goes on where one was interrupted.
    """
    from rich.console import Console

    from uad_bench.front.progress import LiveProgress
    from uad_bench.front.reproduce import compute

    messages = Console(stderr=True, markup=False)
    try:
        with LiveProgress(messages) as progress:
            done = compute(archive, results, given, progress, command=same_command())
    except KeyboardInterrupt:
        raise interrupted(messages, f"finished cells are in {results}") from None
    by_metric = defaultdict(list)
    for number in done.comparison.numbers:
        by_metric[number.metric].append(number)
    print_table(
        ("metric", "numbers", "moved", "largest difference", "tolerance"),
        [_summary(metric, numbers) for metric, numbers in by_metric.items()],
    )
    for metric, numbers in by_metric.items():
        if moved := [number for number in numbers if number.moved]:
            echo("")
            print_table((metric, "then", "now", "difference"), [_line(one) for one in moved])
    for name, reason in done.comparison.not_compared.items():
        echo(f"not compared: {name}: {reason}")
    echo(f"\n{done!r}")
    if not done.holds:
        raise typer.Exit(1)


def _summary(metric: str, numbers: list[Number]) -> tuple[str, ...]:
    moved = [number for number in numbers if number.moved]
    far = max((abs(number.difference or 0.0) for number in moved), default=0.0)
    most = max(number.tolerance for number in numbers if number.part == "value")
    return metric, str(len(numbers)), str(len(moved)), f"{far:.2g}", f"{most:.2g}"


def _line(number: Number) -> tuple[str, ...]:
    cell = number.cell
    name = f"{cell.method} {cell.dataset} {cell.protocol} {cell.postprocessing} s{cell.seed}"
    name += "" if number.part == "value" else f", {number.part} end"
    then, now = ("none" if value is None else f"{value:.6g}" for value in (number.then, number.now))
    apart = "" if number.difference is None else f"{number.difference:+.2g}"
    return name, then, now, apart if number.within else f"{apart} beyond the tolerance"
