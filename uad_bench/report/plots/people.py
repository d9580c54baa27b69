"""Figures with one point per person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from uad_bench.report.plots.source import NothingToDrawError, Source
from uad_bench.report.plots.style import (
    Ink,
    explain,
    label_edges,
    panels,
    plain_logarithm,
    row_titles,
)

_LINE = 0.17
_SPREAD = 0.28
"""How far points of one method are moved apart, in lines."""

_PATIENTS = Ink("#d55e00", "", "o", filled=True, label="patients")
_HEALTHY = Ink("#0072b2", "", "o", filled=False, label="healthy people")


def people_figure(source: Source) -> Figure:
    """Draw every subject's value, and each method's median, a panel per dataset.

    Of some metrics, such as false positives, healthy people have a value too.
    """
    shown = source.arrangement
    metric = source.metric_of_scans(source.protocol.metrics[0].name)
    names = [column.title for column in shown.columns]
    figure, axes = panels(row_titles(shown), height=0.7 + _LINE * len(names), share=True)
    for (row, column), ink in _places(source):
        values = np.array(list(source.people((row, column), metric).values()))
        if not len(values):
            continue
        at = column + _apart(len(values))
        ink.dot(axes[row], values, at, markersize=2.5)
        axes[row].plot(np.median(values), column, "|", color="black", markersize=9)
    for panel in axes:
        panel.set_xlabel(source.metric_title(metric))
        _lines(panel, names)
    label_edges(axes)
    explain(figure, (), *source.notes, "A point is a subject (mean over seeds), a bar the median.")
    return figure


def load_figure(source: Source) -> Figure:
    """Draw each patient's value against the share of the brain that is lesion."""
    shown = source.arrangement
    metric = source.metric_of_scans("dice")
    figure, axes = panels(row_titles(shown), share=True)
    drawn = source.inks
    for (row, column), ink in _places(source):
        loads = source.people((row, column), "prevalence")
        values = source.people((row, column), metric)
        both = sorted((loads[name], values[name]) for name in loads.keys() & values.keys())
        pairs = [(100 * load, value) for load, value in both if load > 0]
        if pairs:
            ink.dot(axes[row], *zip(*pairs, strict=True))
    for panel in axes:
        panel.set(xlabel="lesion, % of the brain", ylabel=source.metric_title(metric))
        plain_logarithm(panel.xaxis)
    label_edges(axes)
    explain(figure, drawn, *source.notes, "A point is a patient (mean over seeds).")
    return figure


def detection_figure(source: Source) -> Figure:
    """Draw the scores by which patients are told from healthy people, a panel per dataset.

    Maps without a threshold tell of nobody that they are healthy; another method's may.

    Raises:
        NothingToDrawError: no dataset has healthy people, known as such, among its test subjects.
    """
    shown = source.arrangement
    well: list[set[str]] = [set() for _ in shown.rows]
    for place in shown.own:
        well[place[0]] |= source.people(place, "healthy_volume").keys()
    if not any(well):
        raise NothingToDrawError(
            f"{source.root}: no dataset with healthy people among its test subjects; detection "
            "needs both, and a threshold"
        )
    names = [column.title for column in shown.columns]
    figure, axes = panels(row_titles(shown), height=0.7 + _LINE * len(names), share=True)
    unknown: dict[str, None] = {}
    rated: set[int] = set()
    for place in sorted(shown.own):
        row, column = place
        scores = source.people(place, "patient_score")
        area = source.value(place, "patient_auroc")
        if area is not None and not well[row]:
            unknown[shown.rows[row].label] = None
            continue
        for ink, names_of, shift in (
            (_PATIENTS, scores.keys() - well[row], -0.15),
            (_HEALTHY, scores.keys() & well[row], 0.15),
        ):
            values = sorted(scores[name] for name in names_of)
            ink.dot(axes[row], values, [column + shift] * len(values), markersize=2.5)
        if area is not None:
            rated.add(row)
            beside = axes[row].get_yaxis_transform()
            axes[row].text(1.01, column, f"{area:.2f}", transform=beside, va="center", fontsize=7)
    for panel in axes:
        panel.set_xlabel("score of a person")
        _lines(panel, names)
    label_edges(axes)
    for row in rated:
        axes[row].set_xlabel("score of a person; right: AUROC")
    notes = [*source.notes, "A point is a subject (mean over seeds)."]
    if unknown:
        notes.append(f"Not drawn, because no map there has a threshold: {', '.join(unknown)}.")
    lone = (
        one.label
        for row, one in enumerate(shown.rows)
        if row not in rated and one.label not in unknown
    )
    if text := ", ".join(dict.fromkeys(lone)):
        notes.append(f"No AUROC, which needs both patients and healthy people: {text}.")
    explain(figure, (_PATIENTS, _HEALTHY), *notes)
    return figure


def _places(source: Source) -> Iterator[tuple[tuple[int, int], Ink]]:
    drawn = source.inks
    for row, column in sorted(source.arrangement.own):
        yield (row, column), drawn[column]


def _apart(count: int) -> NDArray[np.float64]:
    """Return shifts that keep points of equal value apart, the same every time."""
    return np.random.default_rng(0).uniform(-_SPREAD, _SPREAD, count)


def _lines(panel: Axes, names: Sequence[str]) -> None:
    """Give each method a line of its own, the first at the top."""
    panel.set_yticks(range(len(names)), labels=names, parse_math=False)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.grid(axis="y", linewidth=0.3, color="#cccccc")
    panel.set_axisbelow(True)
