"""``uad-bench share``: one detector to give away."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from uad_bench.cli.options import PluginPaths
from uad_bench.cli.streams import echo
from uad_bench.plugins.registry import open_registry


def share(
    detector: Annotated[Path, typer.Argument(help="A detector's folder, as in results/detectors.")],
    out: Annotated[Path, typer.Argument(help="A new folder, or a .zip.")],
    licence: Annotated[
        str, typer.Option(metavar="NAME", help="Its licence on spdx.org/licenses: CC-BY-4.0, MIT.")
    ],
    plugin: PluginPaths = None,
) -> None:
    """Write a detector to give away: weights, a card, the recipe and a licence.

    `predict -d` takes what it writes.
    """
    from uad_bench.sharing.detector import share_detector

    notes = share_detector(detector, out, licence, open_registry(plugin))
    echo(f"{out}; `uad-bench predict scan.nii.gz -d {quote(str(out))} -o map.nii.gz` uses it")
    for note in notes:
        echo(f"  {note}")
