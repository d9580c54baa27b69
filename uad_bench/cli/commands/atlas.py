"""``uad-bench atlas``: the tissue prior of a training dataset, built and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from uad_bench.cli.options import (
    Anatomies,
    Cache,
    DataRoot,
    Jobs,
    LesionPattern,
    MaskShift,
    Phantoms,
    PluginPaths,
    Recipe,
    Template,
    Tissues,
    Train,
    open_registry,
)
from uad_bench.cli.output import print_facts
from uad_bench.cli.streams import echo

atlas = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@atlas.command()
def build(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not be there yet.")],
    train: Train = None,
    data_root: DataRoot = None,
    recipe: Recipe = None,
    template: Template = None,
    tissues: Tissues = None,
    lesion_pattern: LesionPattern = None,
    mask_shift: MaskShift = None,
    phantoms: Phantoms = None,
    anatomies: Anatomies = None,
    cache: Cache = None,
    jobs: Jobs = None,
    plugin: PluginPaths = None,
) -> None:
    """Write mean and variance of the tissues of a dataset's training subjects.

    The dataset is prepared as `run` does it. Without tissue maps of two training subjects, the
    template's maps serve, marked as a fallback.
    """
    # Heavy imports wait until the options are known to be right.
    from rich.console import Console

    from uad_bench.front.progress import LiveProgress
    from uad_bench.runner.config import load_config
    from uad_bench.runner.data.atlas import build_training_atlas

    given = {
        "methods": "none",  # a run must name one; none is looked up
        "train": train,
        "data_root": data_root,
        "recipe": recipe,
        "template": template,
        "tissues": tissues,
        "lesion_pattern": lesion_pattern,
        "mask_shift": mask_shift,
        "phantoms": phantoms,
        "anatomies": anatomies,
        "cache": cache,
        "jobs": jobs,
    }
    config = load_config(None, given)
    with LiveProgress(Console(stderr=True)) as progress:
        built = build_training_atlas(config, open_registry(plugin), out, progress)
        if built.manifest.fallback:
            progress.note(
                f"{config.train} has tissue maps of fewer than 2 training subjects: these are the "
                "template's; --tissues says where maps come from"
            )
    _print(out)


@atlas.command()
def show(
    folder: Annotated[Path, typer.Argument(help="An atlas.")],
) -> None:
    """Print what an atlas was made from, and draw it beside its folder."""
    from uad_bench.report.figures.atlas_picture import atlas_picture
    from uad_bench.system.disk import write_whole
    from uad_bench.volumes.store.atlas import open_atlas

    picture = folder.resolve().with_name(f"{folder.resolve().name}.png")
    write_whole(picture, atlas_picture(open_atlas(folder)))
    _print(folder)
    echo(f"look at it: {picture}")


def _print(folder: Path) -> None:
    """Print the facts of an atlas."""
    from uad_bench.volumes.store.atlas import open_atlas

    opened = open_atlas(folder)
    built, prior = opened.manifest, opened.prior
    floored = float((prior.variance < built.variance_floor).mean())
    recipe = built.recipe
    shape = " x ".join(str(size) for size in built.grid_shape)
    print_facts(
        (
            ("atlas", f"{folder} ({opened.hash})"),
            ("maps", f"{built.source}{' [SIMULATED]' if built.simulated else ''}"),
            ("subjects", ", ".join(subject.name for subject in built.subjects)),
            ("recipe", f"{recipe.name} ({built.recipe_hash}), template {recipe.template}"),
            (
                "grid",
                f"{shape}, {recipe.slice_mm:g} x {recipe.pixel_mm:g} x {recipe.pixel_mm:g} mm",
            ),
            (
                "variance",
                f"{floored:.0%} of it below the advised floor of {built.variance_floor:g}",
            ),
            ("use", f"uad-bench run --atlas {folder}"),
        )
    )
