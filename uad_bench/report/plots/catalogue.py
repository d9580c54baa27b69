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

        if source.metric is not None and not self.takes_metric:
            raise UadBenchError(
                f"--metric {source.metric}: this figure is of no metric of choice; leave it out"
            )
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

LESIONS = "lesions"
"""The figure that needs detectors and prepared datasets too."""

SHOWS: Mapping[str, str] = {
    **{name: info.shows for name, info in FIGURES.items()},
    LESIONS: "a slice of each dataset: lesion, reconstructions and maps",
}
"""What each figure shows, by name."""


def find_figure(name: str) -> FigureInfo:
    """Return the figure of that name.

    Raises:
        UadBenchError: there is none.
    """
    if name not in FIGURES:
        raise UadBenchError(f"no figure {name}; there are: {', '.join(SHOWS)}")
    return FIGURES[name]
