"""``uad-bench evaluate``: anomaly maps that another program made, as cells."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from uad_bench.cli.options import Given, takes
from uad_bench.cli.output import cells_in_words
from uad_bench.runner.config import load_settings
from uad_bench.runner.settings import OF_MAPS


@takes("datasets", *OF_MAPS, one_dataset=True)
def evaluate(
    given: Given,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="One map per test scan, NAME.nii.gz, as `data` names the scans."
        ),
    ],
    name: Annotated[str, typer.Option(help="What tables call the method.")],
    healthy: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Maps of the healthy validation scans, for thresholds.  [default: FOLDER/healthy]",
        ),
    ] = None,
    supervised: Annotated[
        bool, typer.Option("--supervised", help="The method saw lesion masks in training.")
    ] = False,
) -> None:
    """Score anomaly maps that another program made, under the same protocols as a run's.

    A map is a NIfTI file in [0, 1], on the scan's own grid or on the prepared one, called like its
    scan. Its cells are in the results folder beside those of detectors, and tables mark them.
    """
    from rich.console import Console

    from uad_bench.cli.tables import print_tables
    from uad_bench.front.maps import score
    from uad_bench.front.progress import LiveProgress

    config = load_settings(given)
    messages = Console(stderr=True, markup=False)
    with LiveProgress(messages) as progress:
        done = score(folder, name, healthy, config, (progress,), supervised=supervised)
    if done.cells:
        print_tables(done.table().tables)
    messages.print(
        f"{cells_in_words(len(done.cells))}, {done.computed} computed now, in {done.folder}; "
        f"`uad-bench table --results {quote(str(done.folder))}` shows them beside other methods",
        highlight=False,
        soft_wrap=True,
    )
    if done.failed:
        count = cells_in_words(len(done.failed))
        messages.print(f"{count} failed; the table's footnotes say why", style="red")
        raise typer.Exit(1)
