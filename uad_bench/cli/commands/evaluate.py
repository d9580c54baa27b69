"""``uad-bench evaluate``: anomaly maps that another program made, as cells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from uad_bench.cli.options import (
    Anatomies,
    Cache,
    DataRoot,
    Jobs,
    LesionPattern,
    Limit,
    MaskShift,
    Overwrite,
    Phantoms,
    PluginPaths,
    PostProcessings,
    Protocols,
    Recipe,
    Results,
    Space,
    Template,
    Tissues,
    Train,
)
from uad_bench.cli.output import cells_in_words
from uad_bench.cli.tables import print_tables
from uad_bench.front.maps import score
from uad_bench.front.progress import LiveProgress
from uad_bench.runner.config import load_config


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="One map per test scan, NAME.nii.gz, as `data` names the scans."
        ),
    ],
    dataset: Annotated[str, typer.Option(help="The dataset, or bids:PATH.")],
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
    data_root: DataRoot = None,
    train: Train = None,
    protocol: Protocols = None,
    postprocessing: PostProcessings = None,
    space: Space = None,
    recipe: Recipe = None,
    template: Template = None,
    tissues: Tissues = None,
    lesion_pattern: LesionPattern = None,
    mask_shift: MaskShift = None,
    phantoms: Phantoms = None,
    anatomies: Anatomies = None,
    limit: Limit = None,
    results: Results = None,
    cache: Cache = None,
    jobs: Jobs = None,
    overwrite: Overwrite = None,
    plugin: PluginPaths = None,
) -> None:
    """Score anomaly maps that another program made, under the same protocols as a run's.

    A map is a NIfTI file in [0, 1], on the scan's own grid or on the prepared one, called like its
    scan. Its cells are in the results folder beside those of detectors, and tables mark them.
    """
    config = load_config(
        None,
        {
            "methods": "maps",
            "datasets": dataset,
            "data_root": data_root,
            "train": train,
            "protocol": protocol,
            "postprocessing": postprocessing,
            "space": space,
            "recipe": recipe,
            "template": template,
            "tissues": tissues,
            "lesion_pattern": lesion_pattern,
            "mask_shift": mask_shift,
            "phantoms": phantoms,
            "anatomies": anatomies,
            "limit": limit,
            "results": results,
            "cache": cache,
            "jobs": jobs,
            "overwrite": overwrite,
            "plugin": tuple(plugin) if plugin else None,
        },
    )
    messages = Console(stderr=True)
    with LiveProgress(messages) as progress:
        done = score(folder, name, healthy, config, (progress,), supervised=supervised)
    if done.cells:
        print_tables(done.table().tables)
    messages.print(
        f"{cells_in_words(len(done.cells))}, {done.computed} computed now, in {done.folder}; "
        f"`uad-bench table --results {done.folder}` shows them beside other methods",
        highlight=False,
        soft_wrap=True,
    )
