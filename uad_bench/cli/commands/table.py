"""``uad-bench table``: the results of a run, and the paper's, in a format to publish."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from uad_bench.cells import CellRecord, EvaluationSpace, ProtocolName
from uad_bench.cli.options import one_space
from uad_bench.cli.streams import echo
from uad_bench.errors import UadBenchError
from uad_bench.results import ResultsFolder, load_cells
from uad_bench.system.disk import write_whole

if TYPE_CHECKING:
    from uad_bench.report.tables.metrics import Kind


def table(
    results: Annotated[Path, typer.Option(help="A run's results folder.")] = Path("results"),
    form: Annotated[
        str, typer.Option("--format", "-f", help="terminal, latex, markdown or csv.")
    ] = "terminal",
    protocol: Annotated[
        str | None, typer.Option(help="strict, paper or both.  [default: all that were run]")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="template or native.  [default: all that were run]")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Metrics, as auprc,hd95.  [default: the protocol's]")
    ] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Show 95 % intervals over patients.")
    ] = False,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="Add the paper's numbers; alone where there are no results."
        ),
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="Add this method's average improvement and paired tests against every other.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")
    ] = None,
) -> None:
    """Write the tables of a results folder: one row per dataset, one column per method."""
    from uad_bench.report.published import load_published
    from uad_bench.report.tables.build import build_table
    from uad_bench.report.tables.metrics import metrics_by_kind
    from uad_bench.report.tables.render import FORMATS, render
    from uad_bench.report.tables.terminal import terminal

    chosen = next((one for one in FORMATS if one == form), None)
    if chosen is None:
        raise UadBenchError(f"--format {form}: unknown; available: {', '.join(FORMATS)}")
    asked = None if metrics is None else _names("metrics", metrics)
    records = _records(results, optional=published)
    kinds = [
        (name, kind)
        for name in _protocols(protocol, records)
        for kind in _spaces(space, name, records)
    ]
    by_kind: Mapping[Kind, Sequence[str] | None] = dict.fromkeys(kinds, asked)
    if asked is not None and any((r.spec.protocol, r.spec.space) in kinds for r in records):
        by_kind = metrics_by_kind(asked, kinds, records)
    tables = [
        build_table(
            records,
            name,
            metrics=shown,
            intervals=intervals,
            published=load_published() if published else (),
            compare=compare,
            space=kind,
        )
        for (name, kind), shown in by_kind.items()
    ]
    if output is None and chosen == "terminal" and sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        for number, one in enumerate(tables):
            console.print(*[""] * (number > 0), terminal(one, console.width), sep="\n")
        return
    text = render(tables, chosen)
    if output is None:
        echo(text.removesuffix("\n"))
    else:
        write_whole(output, text.encode())


def _records(results: Path, *, optional: bool) -> tuple[CellRecord, ...]:
    """The folder's records; none where the paper's numbers can stand alone."""
    if optional and not any(ResultsFolder(results).cells.glob("*.json")):
        return ()
    return load_cells(results)


def _protocols(asked: str | None, records: tuple[CellRecord, ...]) -> tuple[ProtocolName, ...]:
    known: tuple[ProtocolName, ...] = get_args(ProtocolName)
    if asked is None:
        there = {record.spec.protocol for record in records}
        return tuple(name for name in known if name in there) or known[:1]
    names = _names("protocol", asked)
    for name in names:
        if name not in known:
            raise UadBenchError(f"--protocol {name}: unknown; available: {', '.join(known)}")
    return tuple(name for name in known if name in names)


def _spaces(
    asked: str | None, protocol: ProtocolName, records: tuple[CellRecord, ...]
) -> tuple[EvaluationSpace, ...]:
    """The spaces to show of one protocol: the one that is asked for, or every one that is there."""
    if asked is not None:
        return (one_space(asked),)
    known: tuple[EvaluationSpace, ...] = get_args(EvaluationSpace)
    there = {record.spec.space for record in records if record.spec.protocol == protocol}
    return tuple(space for space in known if space in there) or known[:1]


def _names(flag: str, text: str) -> tuple[str, ...]:
    """The names in a list with commas.

    Raises:
        UadBenchError: there is none.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise UadBenchError(f"--{flag}: names nothing; give one or several, separated by commas")
    return names
