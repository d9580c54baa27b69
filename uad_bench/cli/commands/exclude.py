"""``uad-bench exclude``: leave a scan out of a dataset with a reason, or take that back."""

from __future__ import annotations

from typing import Annotated

import typer

from uad_bench.cli.options import Given, takes
from uad_bench.cli.output import print_table
from uad_bench.cli.streams import echo
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.settings import DatasetSettings, FileSettings


@takes(DatasetSettings, FileSettings, "cache", one_dataset=True)
def exclude(
    given: Given,
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="SUBJECT", help="A subject, or one scan as SUBJECT_SESSION.  [default: list]"
        ),
    ] = None,
    because: Annotated[
        str, typer.Option(metavar="REASON", help="Why; stands in the footnote of every table.")
    ] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Let it take part again.")] = False,
) -> None:
    """Leave a scan out of a dataset, with the reason, and list what is left out.

    The decision is a line in exclusions.tsv in the dataset's folder.
    """
    # Heavy imports wait until the options are known to be right.
    from uad_bench.runner.config import load_settings
    from uad_bench.runner.data.source import cache_folder, find_source
    from uad_bench.volumes.store.exclusions import (
        exclusion_of,
        read_exclusions,
        record_exclusion,
        record_inclusion,
    )

    config = load_settings(given)
    name, root = config.one_dataset(), config.data_root
    if subject is None and (because or undo):
        raise UadBenchError("say which scan: uad-bench exclude SUBJECT --datasets ...")
    registry, cache = open_registry(config.plugin), cache_folder(config.cache)
    source = find_source(name, root, registry, cache, config.lesion_pattern)
    if source.folder is None:
        where = f"not in {root}" if root else "nowhere without --data-root"
        raise UadBenchError(
            f"dataset {source.label} is {where}; `uad-bench data --datasets {source.label}` shows "
            "what is expected where"
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
