"""``uad-bench exclude``: leave a scan out of a cohort with a reason, or take that back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uad_bench.cli.options import PluginPaths, open_registry
from uad_bench.cli.output import print_table
from uad_bench.errors import UadBenchError
from uad_bench.locate import Found, inspect, locate
from uad_bench.registry import Registry, split_dataset


def exclude(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="SUBJECT", help="A subject, or one scan as SUBJECT_SESSION.  [default: list]"
        ),
    ] = None,
    datasets: Annotated[
        str, typer.Option(metavar="NAME|NAME:PATH", help="The cohort, as bids:PATH or by name.")
    ] = "",
    because: Annotated[
        str, typer.Option(metavar="REASON", help="Why; stands in the footnote of every table.")
    ] = "",
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="UAD_BENCH_DATA", help="Folder with the real cohorts."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Let it take part again.")] = False,
    plugin: PluginPaths = None,
) -> None:
    """Leave a scan out of a cohort, with the reason, and list what is left out.

    The decision is a line in exclusions.tsv in the cohort's folder.
    """
    from uad_bench.volumes.exclusions import (
        exclusion_of,
        read_exclusions,
        record_exclusion,
        record_inclusion,
    )

    if not datasets:
        raise UadBenchError("say which cohort: --datasets NAME or --datasets NAME:PATH")
    if subject is None and (because or undo):
        raise UadBenchError("say which scan: uad-bench exclude SUBJECT --datasets ...")
    found = _found(datasets, data_root, open_registry(plugin))
    if subject is not None:
        known = {name for scan in found.scans for name in (scan.subject, scan.name)}
        record = record_inclusion if undo else record_exclusion
        record(found.folder, subject, because, known)
    excluded = read_exclusions(found.folder)
    if excluded:
        print_table(("excluded", "because"), list(excluded.items()))
    left = sum(exclusion_of(scan, excluded) is None for scan in found.scans)
    typer.echo(f"{left} of {len(found.scans)} scans in {found.folder} take part", err=True)


def _found(dataset: str, data_root: Path | None, registry: Registry) -> Found:
    """The cohort's folder and scans.

    Raises:
        UadBenchError: when it is not there; a simulated stand-in has nothing to exclude.
    """
    name, path = split_dataset(dataset)
    cohort = registry.cohort(name)()
    if path is None:
        if not cohort.info.folders:
            raise UadBenchError(f"--datasets {name}: say where it is, as {name}:PATH")
        if data_root is None:
            raise UadBenchError(f"--datasets {name}: say where it is, with --data-root or a path")
        path = locate(cohort.info, data_root)
        if path is None:
            raise UadBenchError(
                f"cohort {name} is not in {data_root}: `uad-bench data {name}` shows what is "
                "expected where"
            )
    return inspect(cohort, path)
