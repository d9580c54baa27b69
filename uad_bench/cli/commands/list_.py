"""``uad-bench list``: what there is, without importing any of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from uad_bench.cli.options import PluginPaths
from uad_bench.cli.output import print_table
from uad_bench.cli.streams import echo
from uad_bench.plugins.entry import Entry
from uad_bench.plugins.registry import GROUPS, open_registry


class Listed(StrEnum):
    """What to list."""

    methods = "methods"
    datasets = "datasets"
    protocols = "protocols"
    postprocessings = "postprocessings"


def list_plugins(
    what: Annotated[Listed | None, typer.Argument(help="Only these.")] = None,
    plugin: PluginPaths = None,
) -> None:
    """List plugins of every kind: built in, from installed packages, and your own.

    What cannot be used is listed with its reason.
    """
    registry = open_registry(plugin, strict=False)
    tables = [
        (kind.upper(), registry.entries(kind))
        for kind, listed in zip(GROUPS, Listed, strict=True)
        if what in (None, listed)
    ]
    tables.append(("FILE", tuple(e for e in registry.entries() if e.kind is None)))
    shown = [(heading, entries) for heading, entries in tables if entries]
    for index, (heading, entries) in enumerate(shown):
        if index:
            echo()
        print_table((heading, "STATE", "SOURCE", "SUMMARY"), [_row(entry) for entry in entries])


def _row(entry: Entry) -> tuple[str, str, str, str]:
    name = entry.name if entry.kind or entry.path is None else entry.path.name
    return name, entry.state, entry.source, entry.reason or entry.summary
