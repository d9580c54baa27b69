"""Any figure by its name, written to a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console

from uad_bench.cells import CellRecord, EvaluationSpace
from uad_bench.errors import UadBenchError
from uad_bench.front.figures.latent_maps import draw_latent
from uad_bench.front.figures.lesion_counts import draw_froc
from uad_bench.front.figures.lesion_slices import draw_lesions
from uad_bench.front.progress import LiveProgress
from uad_bench.front.searched import Searched
from uad_bench.plugins.registry import open_registry
from uad_bench.report.figures.sweep_file import read_sweep
from uad_bench.report.plots.catalogue import FIGURES, SWEEP, refuse_unknown_figure
from uad_bench.report.plots.source import NothingToDrawError, Source, make_source
from uad_bench.report.plots.style import encoded, ending_of, styled
from uad_bench.report.plots.sweep import sweep_figure
from uad_bench.report.tables.choice import Choice
from uad_bench.results import ResultsFolder
from uad_bench.runner.environment import resolve_device
from uad_bench.runner.events import Listener
from uad_bench.system.disk import write_whole

_SCORED: Mapping[str, Callable[[Source, Searched, Listener], Figure]] = {
    "lesions": draw_lesions,
    "latent": draw_latent,
    "froc": draw_froc,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be drawn.

    Attributes:
        name: the figure's.
        choice: methods, post-processings, controls and datasets.
        metric: the metric; the figure's own if not given.
        protocol: whose cells.
        space: whose voxels.
        swept: the sweep's parameter, as METHOD.NAME, for ``sweep``.
    """

    name: str
    choice: Choice
    metric: str | None
    protocol: str
    space: EvaluationSpace
    swept: str | None


def write_figure(
    asked: Asked, cells: Sequence[CellRecord], searched: Searched, file: Path, *, progress: bool
) -> None:
    """Draw a figure, and write it as the file's ending says.

    Args:
        asked: what is drawn.
        cells: all cells of the results folder; ``sweep`` needs none.
        searched: where detectors and prepared data are.
        file: it ends in ``.pdf``, ``.svg`` or ``.png``.
        progress: whether figures that score scans again tell on stderr what is going on.

    Raises:
        UadBenchError: an unknown name, another ending, nothing to draw, or a file that cannot be
            written.
    """
    refuse_unknown_figure(asked.name)
    ending = ending_of(file)
    if asked.swept is not None and asked.name != SWEEP:
        raise UadBenchError(
            f"--swept {asked.swept}: figure {asked.name} is of no sweep; leave it out"
        )
    with styled():
        if asked.name == SWEEP:
            figure = _sweep(asked, searched.root)
        else:
            figure = _of_cells(asked, cells, searched, progress=progress)
        write_whole(file, encoded(figure, ending))


def _of_cells(
    asked: Asked, cells: Sequence[CellRecord], searched: Searched, *, progress: bool
) -> Figure:
    """A figure that is made from cells, and some also from their detectors."""
    source = make_source(
        asked.choice.records(cells),
        searched.root,
        open_registry(searched.plugin),
        protocol=asked.protocol,
        space=asked.space,
        metric=asked.metric,
        choice=asked.choice,
        order=asked.choice.order(cells),
        everyone=cells,
    )
    if asked.name in FIGURES:
        return FIGURES[asked.name].draw(source)
    source.refuse_metric()
    resolve_device(searched.device)
    with ExitStack() as stack:
        shown = LiveProgress(Console(stderr=True, force_jupyter=False))
        tell = stack.enter_context(shown) if progress else lambda _: None
        return _SCORED[asked.name](source, searched, tell)


def _sweep(asked: Asked, root: Path) -> Figure:
    """The figure of the one sweep that is asked for."""
    if asked.choice != Choice() or asked.metric is not None:
        raise UadBenchError(
            f"figure {SWEEP} is of all that a sweep has: choose the sweep with --swept, and leave "
            "out other choices"
        )
    folder = ResultsFolder(root).sweeps
    files = sorted(folder.glob("*/sweep.npz"))
    if asked.swept is not None:
        wanted = folder / asked.swept.replace(".", "-", 1) / "sweep.npz"
        if wanted not in files:
            raise NothingToDrawError(
                f"{root}: no sweep of {asked.swept}; `uad-bench sweep {asked.swept}` makes one"
            )
        files = [wanted]
    if not files:
        raise NothingToDrawError(f"{root}: no sweep; `uad-bench sweep METHOD.NAME` makes one")
    if len(files) > 1:
        names = ", ".join(file.parent.name.replace("-", ".", 1) for file in files)
        raise UadBenchError(f"{root} has several sweeps, {names}: choose one with --swept")
    return sweep_figure(read_sweep(files[0]))
