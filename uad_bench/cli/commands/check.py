"""``uad-bench check``: does a plugin keep its contract?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uad_bench.cli.options import PluginPaths
from uad_bench.cli.streams import echo
from uad_bench.errors import PluginError, UadBenchError
from uad_bench.plugins.registry import open_registry, read_plugin, split_dataset

if TYPE_CHECKING:
    from uad_bench.plugins.conformance import Violation
    from uad_bench.plugins.entry import Entry


def check(
    target: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A name, NAME:PATH for a dataset, or a file.")
    ],
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A dataset's own folder, to look for scans.")
    ] = None,
    plugin: PluginPaths = None,
) -> None:
    """Try a plugin on toy data and report every broken rule.

    Exits with 1 if there is one.
    """
    entries, folder = _resolve(target, plugin)
    root = root or folder
    if root is not None and not root.is_dir():
        raise UadBenchError(f"{root} is not a folder; give the folder that holds the scans")
    broken = 0
    for entry in entries:
        violations = _violations(entry, root)
        broken += len(violations)
        for violation in violations:
            echo(f"{entry.name}: {violation}")
        if not violations:
            echo(f"{entry.name}: keeps every rule ({entry.origin})")
    if broken:
        echo(f"{broken} broken {'rule' if broken == 1 else 'rules'}", err=True)
        raise typer.Exit(1)


def _resolve(target: str, plugin: list[Path] | None) -> tuple[tuple[Entry, ...], Path | None]:
    """The entries that are meant, and the folder in ``NAME:PATH``."""
    path = Path(target).expanduser()
    if path.suffix == ".py" or path.is_file():
        if not path.is_file():
            raise UadBenchError(f"{path} does not exist; give a plugin's name or file")
        return (read_plugin(path),), None
    name, folder = split_dataset(target)
    return open_registry(plugin).matching(name), folder


def _violations(entry: Entry, root: Path | None) -> list[Violation]:
    """The rules that a plugin breaks; one that cannot be loaded breaks the first."""
    from uad_bench.evaluation.postprocessing import PostProcessing
    from uad_bench.evaluation.protocol import Protocol
    from uad_bench.method import Method
    from uad_bench.plugins.conformance import (
        Violation,
        check_dataset,
        check_method,
        check_postprocessing,
        check_protocol,
    )

    try:
        loaded = entry.load()
        if isinstance(loaded, Protocol):
            return check_protocol(loaded)
        if isinstance(loaded, PostProcessing):
            return check_postprocessing(loaded)
        if issubclass(loaded, Method):
            return check_method(loaded)
        return check_dataset(loaded, root)
    except PluginError as error:
        return [Violation("load", str(error))]
