"""The figures by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from uad_bench.errors import UadBenchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from uad_bench.report.plots.source import Source


@dataclass(frozen=True, slots=True)
class FigureInfo:
    """One figure.

    Attributes:
        shows: what it shows, in a line.
        where: its module and function.
        takes_metric: whether it is of a metric of choice.
    """

    shows: str
    where: str
    takes_metric: bool = False

    def draw(self, source: Source) -> Figure:
        """Return the figure.

        Raises:
            UadBenchError: no cell has what it shows, or a metric is chosen that it does not take.
        """
        from uad_bench.report.plots.source import NothingToDrawError

        if not self.takes_metric:
            source.refuse_metric()
        module, _, name = self.where.partition(":")
        found: Callable[[Source], Figure] = getattr(
            import_module(f"uad_bench.report.plots.{module}"), name
        )
        figure = found(source)
        if not any(panel.lines for panel in figure.axes):
            raise NothingToDrawError(f"{source.root}: no finished cell has {self.shows}")
        return figure


FIGURES: Mapping[str, FigureInfo] = {
    "precision-recall": FigureInfo(
        "precision against recall, with bands", "curves:precision_recall_figure"
    ),
    "patients": FigureInfo("a metric of every patient", "people:people_figure", takes_metric=True),
    "lesion-load": FigureInfo(
        "a metric of every patient against the share of the brain that is lesion",
        "people:load_figure",
        takes_metric=True,
    ),
    "lesion-size": FigureInfo("lesions found, by their size", "measures:sizes_figure"),
    "detection": FigureInfo("scores of patients and of healthy people", "people:detection_figure"),
    "thresholds": FigureInfo("false positives, wanted and got", "measures:thresholds_figure"),
    "critical-difference": FigureInfo(
        "mean ranks of the methods, and which are not shown to differ",
        "critical_difference:ranks_figure",
        takes_metric=True,
    ),
    "cost": FigureInfo(
        "a metric against the time of a training", "measures:cost_figure", takes_metric=True
    ),
}
"""Every figure that is made from a results folder alone."""

SCORED: Mapping[str, str] = {
    "lesions": "a slice of each dataset: lesion, reconstructions and maps",
    "latent": "latent tissue maps of a healthy person and of patients, with profiles along a line",
    "froc": "lesions found against false findings per scan, over all thresholds",
}
"""What the figures show that score scans again: they need detectors and prepared datasets too."""

SWEEP = "sweep"
"""The figure that is made from a sweep instead of cells."""

SHOWS: Mapping[str, str] = {
    **{name: info.shows for name, info in FIGURES.items()},
    **SCORED,
    SWEEP: "a method trained at several values of one parameter",
}
"""What each figure shows, by name."""


def refuse_unknown_figure(name: str) -> None:
    """Refuse a name that is no figure's.

    Raises:
        UadBenchError: naming all figures.
    """
    if name not in SHOWS:
        raise UadBenchError(f"no figure {name}; there are: {', '.join(SHOWS)}")
