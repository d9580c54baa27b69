"""Results that are there already: those of a folder, and those that somebody exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from uad_bench.front.results import Results
from uad_bench.results import ResultsFolder, load_lean_cells


def load_results(folder: str | Path = "results", *, plugin: Sequence[str | Path] = ()) -> Results:
    """Read every cell of a results folder, of whichever run.

    Args:
        folder: a run's results folder.
        plugin: files and folders with the protocols and post-processings of its cells, where they
            are not built in or installed.

    Raises:
        UadBenchError: if the folder holds no cells, or one of them cannot be read.

    Examples:
        >>> import uad_bench as ub
        >>> results = ub.load_results("results")
        >>> len(results.cells), len(results.failed)
        (2, 0)
    """
    path = Path(folder).expanduser()
    return Results(path, load_lean_cells(path), plugin=tuple(Path(one) for one in plugin))


def import_results(archive: str | Path, folder: str | Path = "results") -> Results:
    """Add the cells of an export to a results folder. What is there already stays.

    Args:
        archive: the zip that ``export`` wrote.
        folder: the results folder; it is made where it is missing.

    Returns:
        Every cell of the folder. ``computed`` is how many came in now.

    Raises:
        UadBenchError: in one line, why the archive is not used; then nothing is written.

    Examples:
        >>> import uad_bench as ub
        >>> given = ub.load_results("results").export("given.zip")
        >>> ub.import_results(given, "others")
        2 cells in others: thresholding on mslub
    """
    from uad_bench.sharing.archive import import_archive

    path = Path(folder).expanduser()
    added = import_archive(Path(archive).expanduser(), ResultsFolder(path))
    return Results(path, load_lean_cells(path), added)
