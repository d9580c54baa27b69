"""The fidelity study: measure its arms, and write ``docs/studies/fidelity.md``.

``python -m studies.fidelity run RESULTS --anatomies DIR --data-root DIR``, then
``python -m studies.fidelity page RESULTS``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from uad_bench.errors import UadBenchError
from uad_bench.system.disk import write_whole

from .arms import ARMS, BY_NAME, SIZES
from .data import describe, gather
from .measure import measure
from .page import write_page
from .records import DATA, read_study

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)

RECIPE = str(Path(__file__).with_name("recipe.yaml"))


@app.command()
def run(
    results: Path,
    anatomies: Annotated[Path, typer.Option(help="Folder of label maps.")],
    data_root: Annotated[Path, typer.Option(help="Folder of the real datasets.")],
    lesion_free: Annotated[Path | None, typer.Option(help="BIDS folder of others.")] = None,
    recipe: str = RECIPE,
    cache: Path | None = None,
    size: Annotated[str, typer.Option(help=", ".join(SIZES))] = "small",
    seeds: str = "0,1,2",
    arms: Annotated[str, typer.Option(help="Only these.")] = ",".join(BY_NAME),
    device: str = "auto",
) -> None:
    """Simulate, prepare, train and measure. The same command goes on where one stopped."""
    chosen, numbers = arms.split(","), [int(seed) for seed in seeds.split(",")]
    if unknown := sorted(set(chosen) - set(BY_NAME)):
        raise UadBenchError(f"--arms {', '.join(unknown)}: unknown; known: {', '.join(BY_NAME)}")
    if size not in SIZES:
        raise UadBenchError(f"--size {size}: unknown; known: {', '.join(SIZES)}")
    settings = {"recipe": recipe, "cache": cache}
    data = gather(anatomies, data_root, lesion_free, SIZES[size], results, **settings)
    facts = describe(data, anatomies, results)
    write_whole(results / DATA, facts.model_dump_json(indent=1).encode())
    for seed in numbers:
        for arm in (one for one in ARMS if one.name in chosen and one.kept):
            done = (results / f"{arm.name}-s{seed}.json").is_file()
            if done or not (arm.longer or seed == numbers[0]):
                continue
            try:
                measure(arm, seed, SIZES[size], data, results, device=device)
                typer.echo(f"{arm.name}, seed {seed}: done")
            except UadBenchError as error:
                typer.echo(f"{arm.name}, seed {seed}: {error}", err=True)


@app.command()
def page(results: Path, docs: Path = Path("docs/studies"), again: Path | None = None) -> None:
    """Write the page; AGAIN: results on another grid, or with another size of network."""
    write_page(read_study(results), docs, None if again is None else read_study(again))


if __name__ == "__main__":
    try:
        app()
    except UadBenchError as error:
        typer.echo(error, err=True)
        sys.exit(2)
