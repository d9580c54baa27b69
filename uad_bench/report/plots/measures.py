"""Figures with one point per method and dataset."""

from __future__ import annotations

from textwrap import wrap

import numpy as np
from matplotlib.figure import Figure

from uad_bench.report.plots.source import NothingToDrawError, Source
from uad_bench.report.plots.style import (
    COLUMN,
    LETTERS_PER_INCH,
    PAGE,
    explain,
    label_edges,
    panels,
    plain_logarithm,
    row_titles,
)

_SIZES = ("small", "medium", "large")
_SHORTEST_S = 0.1
"""Trainings that are shorter are drawn here: a logarithmic axis has no zero."""
_LEAST_PERCENT = 0.001
"""Fewer false positives are drawn here, likewise."""
_SHORTEST_LINE = len("(simulated)")


def sizes_figure(source: Source) -> Figure:
    """Draw the share of lesions that are found, by their size, a panel per dataset."""
    shown = source.arrangement
    figure, axes = panels(row_titles(shown), share=True)
    drawn = source.inks
    recalls = [source.protocol.metric(f"lesion_recall_{size}").title for size in _SIZES]
    titles = [title.removeprefix("Lesion recall").strip(" ,") for title in recalls]
    for row, column in sorted(shown.own):
        values = [source.value((row, column), f"lesion_recall_{size}") for size in _SIZES]
        known = [(at, value) for at, value in enumerate(values) if value is not None]
        if known:
            drawn[column].draw(axes[row], *zip(*known, strict=True))
    for panel in axes:
        panel.set(xlim=(-0.3, 2.3), ylim=(-0.03, 1.03), xlabel="lesions", ylabel="found")
        panel.set_xticks(range(len(_SIZES)), labels=titles, parse_math=False)
    label_edges(axes)
    explain(figure, drawn, *source.notes, *source.protocol.metric("lesion_recall_small").notes)
    return figure


def thresholds_figure(source: Source) -> Figure:
    """Draw the false positives that a threshold from healthy people gives on each dataset.

    Raises:
        NothingToDrawError: the protocol has no such threshold.
    """
    shown = source.arrangement
    wanted = source.protocol.metric("fpr").target
    if wanted is None:
        raise NothingToDrawError(
            f"protocol {source.protocol.name} has no threshold of a stated false positive rate; "
            "draw it of protocol strict"
        )
    titles, drawn = row_titles(shown), source.inks
    figure, (panel,) = panels([""], height=2.6)
    figure.set_figwidth(COLUMN if len(titles) <= 2 else PAGE)
    shifts = np.linspace(-0.3, 0.3, len(drawn)) if len(drawn) > 1 else np.zeros(1)
    few = False
    for row, column in sorted(shown.own):
        value, ink = source.value((row, column), "fpr"), drawn[column]
        if value is not None:
            few = few or 100 * value < _LEAST_PERCENT
            ink.dot(panel, row + shifts[column], max(100 * value, _LEAST_PERCENT))
    if not panel.lines:
        return figure
    panel.axhspan(50 * wanted, 200 * wanted, color="#dddddd", linewidth=0)
    panel.axhline(100 * wanted, color="black", linewidth=0.7)
    plain_logarithm(panel.yaxis)
    letters = max(
        _SHORTEST_LINE, int((figure.get_figwidth() - 0.7) * LETTERS_PER_INCH / len(titles))
    )
    lines = [wrap(title, letters) for title in titles]
    most = max(map(len, lines))  # empty lines below, so that all first lines are level
    labels = ["\n".join(some + [""] * (most - len(some))) for some in lines]
    panel.set_xticks(range(len(titles)), labels=labels, parse_math=False)
    panel.set(xlim=(-0.5, len(titles) - 0.5), ylabel="false positives, %")
    notes = [f"Line: the {100 * wanted:g} % that were wanted; grey: within a factor of two."]
    if few:
        notes.append(
            f"Fewer than {_LEAST_PERCENT:g} %, also none, are drawn at {_LEAST_PERCENT:g} %."
        )
    explain(figure, drawn, *source.notes, *notes)
    return figure


def cost_figure(source: Source) -> Figure:
    """Draw quality, the mean over the datasets, against the time of one training."""
    shown = source.arrangement
    metric = source.metric or source.protocol.metrics[0].name
    drawn = source.inks
    figure, (panel,) = panels([""], height=2.6)
    numbers: list[dict[int, float]] = [{} for _ in drawn]
    for row, column in sorted(shown.own):
        if (value := source.value((row, column), metric)) is not None:
            numbers[column][row] = value
    datasets = {row for values in numbers for row in values}
    fewer, untimed, short = list[str](), list[str](), False
    for column, (ink, values) in enumerate(zip(drawn, numbers, strict=True)):
        times = [
            record.fit.wall_s
            for place, some in shown.own.items()
            for record in some
            if place[1] == column and record.fit is not None
        ]
        if values and times:
            time = float(np.mean(times))
            short = short or time < _SHORTEST_S
            quality = float(np.mean(list(values.values())))
            ink.dot(panel, max(time, _SHORTEST_S), quality, markersize=4.5)
            if values.keys() < datasets:
                fewer.append(f"{ink.label} ({len(values)})")
        elif values:
            untimed.append(ink.label)
    plain_logarithm(panel.xaxis)
    panel.set(xlabel="one training, s", ylabel=source.metric_title(metric))
    over = f"Mean over {len(datasets)} datasets" if len(datasets) > 1 else "One dataset"
    said = [f"{over}. Times of the machines that trained."]
    if fewer:
        said.append(f"Over fewer datasets, and not comparable: {', '.join(fewer)}.")
    if untimed:
        said.append(f"Not drawn, because no training is known: {', '.join(untimed)}.")
    if short:
        said.append(f"Trainings of less than {_SHORTEST_S:g} s are drawn at {_SHORTEST_S:g} s.")
    explain(figure, drawn, *source.notes, *said)
    return figure
