"""``uad-bench exclude``: leave a scan out of a dataset with a reason, or take that back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uad_bench.cli.options import LesionPattern, PluginPaths, open_registry
from uad_bench.cli.output import print_table
from uad_bench.cli.streams import echo
from uad_bench.errors import UadBenchError


def exclude(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="SUBJECT", help="A subject, or one scan as SUBJECT_SESSION.  [default: list]"
        ),
    ] = None,
    datasets: Annotated[
        str, typer.Option(metavar="NAME|NAME:PATH", help="The dataset, as bids:PATH or by name.")
    ] = "",
    because: Annotated[
        str, typer.Option(metavar="REASON", help="Why; stands in the footnote of every table.")
    ] = "",
    data_root: Annotated[
        Path | None,
        typer.Option(envvar="UAD_BENCH_DATA", help="Folder with the real datasets."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where converted DICOM is kept.  [default: user cache]")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Let it take part again.")] = False,
    lesion_pattern: LesionPattern = None,
    plugin: PluginPaths = None,
) -> None:
    """Leave a scan out of a dataset, with the reason, and list what is left out.

    The decision is a line in exclusions.tsv in the dataset's folder.
    """
    # Heavy imports wait until the options are known to be right.
    from uad_bench.runner.data.sources import cache_folder, find_source
    from uad_bench.volumes.store.exclusions import (
        exclusion_of,
        read_exclusions,
        record_exclusion,
        record_inclusion,
    )

    if not datasets:
        raise UadBenchError("say which dataset: --datasets NAME or --datasets NAME:PATH")
    if subject is None and (because or undo):
        raise UadBenchError("say which scan: uad-bench exclude SUBJECT --datasets ...")
    source = find_source(
        datasets, data_root, open_registry(plugin), cache_folder(cache), lesion_pattern
    )
    if source.folder is None:
        where = f"not in {data_root}" if data_root else "nowhere without --data-root"
        raise UadBenchError(
            f"dataset {source.label} is {where}; `uad-bench data {source.label}` shows what is "
            "expected where"
        )
    scans = source.dataset.read(source.folder).scans
    if subject is not None:
        known = {name for scan in scans for name in (scan.subject, scan.name)}
        record = record_inclusion if undo else record_exclusion
        record(source.folder, subject, because, known)
    excluded = read_exclusions(source.folder)
    if excluded:
        print_table(("excluded", "because"), list(excluded.items()))
    left = sum(exclusion_of(scan, excluded) is None for scan in scans)
    echo(f"{left} of {len(scans)} scans in {source.folder} take part", err=True)
