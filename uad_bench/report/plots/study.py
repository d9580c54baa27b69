"""Figures of a tuning study: its Pareto front, what is good where, its history, what matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from uad_bench.report.plots.style import explain, panels, plain_logarithm
from uad_bench.study_record import Searched, StudyMetric, StudyRecord, Trial

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#999999"
_PIXELS = 160
_FAR = 30.0
"""A metric whose values differ by more than this factor has a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class StudyFigure:
    """A figure of a study, and what it shows."""

    title: str
    figure: Figure


def study_figures(study: StudyRecord) -> Iterator[StudyFigure]:
    """Draw what a study has enough trials for; call it inside ``styled()``."""
    if len(study.metrics) > 1:
        yield StudyFigure("The Pareto front: trials that no other beats in both", _front(study))
    if len(study.space) > 1 and len(study.finished) > 1:
        one, two = list(study.space)[:2]
        for metric in study.metrics:
            title = f"{metric.name} by {one} and {two}: that of the nearest trial"
            yield StudyFigure(title, _map(study, one, two, metric))
    for metric in study.metrics:
        yield StudyFigure(f"{metric.name}, trial by trial", _history(study, metric))
    for name, shares in study.importances.items():
        title = f"What moves {name}: share of its variance (fANOVA)"
        yield StudyFigure(title, _importance(shares))


def _front(study: StudyRecord) -> Figure:
    x, y = study.metrics[:2]
    figure, (panel,) = panels([""])
    others = [trial for trial in study.finished if trial.number not in study.front]
    front = [trial for trial in study.finished if trial.number in study.front]
    front.sort(key=lambda trial: x.cost(trial.metrics))
    panel.plot(_of(others, x), _of(others, y), "o", color=_GREY, label="beaten by another")
    panel.plot(_of(front, x), _of(front, y), "o-", color=_BLUE, label="Pareto front")
    known = [trial for trial in study.finished if trial.params == study.default][:1]
    panel.plot(_of(known, x), _of(known, y), "s", color=_ORANGE, label="defaults")
    chosen = study.trials[study.chosen - 1].metrics
    _ring(panel, chosen[x.name], chosen[y.name])
    for axis, metric in ((panel.xaxis, x), (panel.yaxis, y)):
        axis.set_label_text(_label(metric), parse_math=False)
        if _is_far(_of(study.finished, metric)):
            plain_logarithm(axis)
        else:
            axis.set_major_locator(MaxNLocator(4))
    panel.legend(frameon=False)
    return figure


def _map(study: StudyRecord, one: str, two: str, metric: StudyMetric) -> Figure:
    """The range of two parameters, coloured by the nearest trial."""
    figure, (panel,) = panels([""])
    trials = study.finished
    across, up = (_even(study.space[name], _params(trials, name)) for name in (one, two))
    x, y = np.meshgrid(*[(np.arange(_PIXELS) + 0.5) / _PIXELS] * 2)
    apart = np.square(x[..., None] - across) + np.square(y[..., None] - up)
    found = np.array(_of(trials, metric))
    drawn = panel.pcolormesh(
        _edges(study.space[one]),
        _edges(study.space[two]),
        found[apart.argmin(axis=-1)],
        cmap="cividis" if metric.higher_is_better else "cividis_r",
        norm="log" if _is_far(found.tolist()) else "linear",
        rasterized=True,
    )
    places = _params(trials, one), _params(trials, two)
    panel.plot(*places, ".", color="white", mec="black", mew=0.4)
    _ring(panel, study.params[one], study.params[two])
    figure.colorbar(drawn, ax=panel, pad=0.02)
    for name, axis in ((one, panel.xaxis), (two, panel.yaxis)):
        axis.set_label_text(name, parse_math=False)
        if study.space[name].log:
            plain_logarithm(axis)
            axis.set_major_locator(LogLocator(10 if _decades(study.space[name]) >= 2 else 2))
    explain(figure, (), "Ring: chosen. Dots: trials. Yellow is better.")
    return figure


def _history(study: StudyRecord, metric: StudyMetric) -> Figure:
    figure, (panel,) = panels([""])
    numbers, found = [one.number for one in study.finished], _of(study.finished, metric)
    panel.plot(numbers, found, "o", color=_BLUE)
    so_far = np.maximum if metric.higher_is_better else np.minimum
    panel.step(numbers, so_far.accumulate(found), where="post", color=_BLUE)
    stopped = [one for one in study.trials if one.state == "stopped" and one.metrics]
    panel.plot([one.number for one in stopped], _of(stopped, metric), "x", color=_GREY)
    _ring(panel, study.chosen, study.trials[study.chosen - 1].metrics[metric.name])
    panel.set_xlabel("trial")
    panel.set_ylabel(_label(metric), parse_math=False)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    if _is_far(found):
        plain_logarithm(panel.yaxis)
    explain(figure, (), "Ring: chosen. Line: the best so far. Crosses: stopped early.")
    return figure


def _importance(shares: Mapping[str, float]) -> Figure:
    """A bar per parameter."""
    figure, (panel,) = panels([""], height=0.5 + 0.3 * len(shares))
    panel.barh(list(shares)[::-1], list(shares.values())[::-1], color=_BLUE, height=0.6)
    panel.set_xlim(0, 1)
    panel.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def _ring(panel: Axes, x: float, y: float) -> None:
    """Mark what is chosen."""
    ring = panel.plot(x, y, "o", ms=9, mfc="none", mec=_ORANGE, mew=1.3, label="chosen")
    ring[0].set_clip_on(False)  # at the end of a range it is whole


def _of(trials: Sequence[Trial], metric: StudyMetric) -> list[float]:
    return [trial.metrics[metric.name] for trial in trials]


def _params(trials: Sequence[Trial], name: str) -> list[float]:
    return [trial.params[name] for trial in trials]


def _label(metric: StudyMetric) -> str:
    return f"{metric.name},\n{'higher' if metric.higher_is_better else 'lower'} is better"


def _is_far(found: Sequence[float]) -> bool:
    """Whether positive values differ by a factor."""
    return min(found, default=0.0) > 0 and max(found) / min(found) > _FAR


def _decades(span: Searched) -> float:
    return float(np.log10(span.high / span.low))


def _even(span: Searched, found: Sequence[float]) -> NDArray[np.float64]:
    """Where values are in a range, from 0 to 1: on a logarithmic one by their factors."""
    ends, places = np.array([span.low, span.high]), np.array(found)
    if span.log:
        ends, places = np.log(ends), np.log(places)
    even: NDArray[np.float64] = (places - ends[0]) / (ends[1] - ends[0])
    return even


def _edges(span: Searched) -> NDArray[np.float64]:
    steps = np.geomspace if span.log else np.linspace
    return steps(span.low, span.high, _PIXELS + 1)
