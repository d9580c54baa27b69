"""``uad-bench import``: the results in somebody's zip."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from uad_bench.cli.options import RESULTS, ResultsPath
from uad_bench.cli.output import cells_in_words
from uad_bench.cli.streams import echo


def import_results(
    archive: Annotated[Path, typer.Argument(metavar="RUN.zip", help="What `export` wrote.")],
    results: ResultsPath = RESULTS,
) -> None:
    """Add the results in a zip to a results folder. What is there already stays.

    A zip that was edited, is damaged, or contradicts what is there is refused whole.
    """
    from uad_bench.front.loading import import_results as add

    done = add(archive, results)
    echo(
        f"{cells_in_words(done.computed)} added to {results}, which has {len(done.cells)} now; "
        f"`uad-bench table --results {quote(str(results))}` shows them"
    )
