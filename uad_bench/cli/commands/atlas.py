"""``uad-bench atlas``: the tissue prior of a training dataset, built and drawn."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from uad_bench.cli.command import Command
from uad_bench.cli.options import Given, takes
from uad_bench.cli.output import print_facts
from uad_bench.cli.streams import echo
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.settings import DataSettings, StoreSettings

atlas = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@atlas.command(cls=Command)
@takes(DataSettings, StoreSettings)
def build(
    given: Given,
    out: Annotated[Path, typer.Argument(help="Folder to write; must not be there yet.")],
) -> None:
    """Write mean and variance of the tissues of a dataset's training subjects.

    The dataset is prepared as `run` does it. Without tissue maps of two training subjects, the
    template's maps serve, marked as a fallback.
    """
    # Heavy imports wait until the options are known to be right.
    from rich.console import Console

    from uad_bench.front.progress import LiveProgress
    from uad_bench.runner.config import load_settings
    from uad_bench.runner.data.atlas import build_training_atlas

    config = load_settings(given)
    with LiveProgress(Console(stderr=True)) as progress:
        built = build_training_atlas(config, open_registry(config.plugin), out, progress)
        if built.manifest.fallback:
            progress.note(
                f"{config.train} has tissue maps of fewer than 2 training subjects: these are the "
                "template's; --tissues says where maps come from"
            )
    _print(out)


@atlas.command(cls=Command)
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
            ("use", f"uad-bench run --atlas {quote(str(folder))}"),
        )
    )
