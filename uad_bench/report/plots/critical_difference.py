"""The critical-difference diagram: mean ranks of methods, and which are not shown to differ."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.statistics.ranking import MeanRanks
from uad_bench.report.plots.source import NothingToDrawError, Source
from uad_bench.report.plots.style import COLUMN, LETTERS_PER_INCH, PAGE, explain
from uad_bench.report.statistics.chosen import Question
from uad_bench.report.statistics.ranks import ranked_methods

_FIT_COLUMN = 6
"""Methods that fit one column."""

_LINE = 0.24
"""Height of a method's line, in inches."""

_TITLE_LINE = 0.16
"""Height of a line of the title, in inches."""

_REACH = 0.35
"""How far a name stands from the axis, in ranks per method."""


def ranks_figure(source: Source) -> Figure:
    """Draw the mean ranks of the methods under the first post-processing.

    Raises:
        NothingToDrawError: these results rank nothing.
    """
    shown = source.arrangement
    question = Question(
        metric=source.metric,
        protocol=source.protocol.name,
        space=source.space,
        postprocessing=shown.columns[0].postprocessing,
    )
    try:
        found = ranked_methods(source.records, source.registry, question)
    except UadBenchError as error:
        raise NothingToDrawError(str(error)) from None
    chosen, ranks = found.chosen, found.ranks
    labels = [column.title for column in chosen.columns]
    datasets = ", ".join(row.title for row in chosen.rows)
    title = f"{chosen.metric.title} on {datasets}"
    left_out = {column.postprocessing for column in shown.columns} - {question.postprocessing}
    notes = [*source.notes, *found.notes]
    if left_out:
        notes.append(f"Post-processing {question.postprocessing} alone is ranked.")
    mine = [one.title for one in shown.columns if one.postprocessing == question.postprocessing]
    if unranked := [one for one in mine if one not in labels]:
        notes.append(f"Not ranked, because tested on a part of a dataset: {', '.join(unranked)}.")
    return critical_difference_figure(ranks, labels, title, notes)


def critical_difference_figure(
    ranks: MeanRanks, labels: Sequence[str], title: str, notes: Sequence[str] = ()
) -> Figure:
    """Draw the diagram of Demsar (2006): an axis of mean ranks, names at lines, bars over groups.

    The best method is on the left. A bar joins methods that are not shown to differ.

    Args:
        ranks: the methods' ranks.
        labels: what they are called, in the same order.
        title: what was ranked, and on whom.
        notes: what a reader must know.
    """
    count = len(labels)
    width = COLUMN if count <= _FIT_COLUMN else PAGE
    head = wrap(title, int(width * LETTERS_PER_INCH))
    half = (count + 1) // 2
    bars = ranks.alike
    depth = 0.6 + 0.35 * len(bars)
    low, high = -depth - half, 2.6
    height = _LINE * (high - low) + _TITLE_LINE * len(head)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    margin = _REACH * (count - 1) + 0.2
    axes.set_xlim(1 - margin, count + margin)
    axes.set_ylim(low, high)
    axes.plot([1, count], [0, 0], color="black", linewidth=1)
    for rank in range(1, count + 1):
        axes.plot([rank, rank], [0, 0.2], color="black", linewidth=1)
        axes.text(rank, 0.35, str(rank), ha="center", va="bottom", fontsize=8)
    order = sorted(range(count), key=lambda at: ranks.ranks[at])
    for place, at in enumerate(order):
        left = place < half
        level = -depth - (place if left else count - 1 - place)
        _name(axes, ranks.ranks[at], level, labels[at], (1, count), left=left)
    for number, (first, last) in enumerate(bars):
        level = -0.3 - 0.35 * number
        axes.plot([first - 0.03, last + 0.03], [level, level], color="black", linewidth=3)
    _critical(axes, ranks, count)
    figure.suptitle("\n".join(head), fontsize=8, parse_math=False)
    explain(figure, (), *notes, _words(ranks))
    return figure


def _name(
    axes: Axes, rank: float, level: float, label: str, ends: tuple[int, int], *, left: bool
) -> None:
    """A line from a rank down and out to the name."""
    reach = _REACH * (ends[1] - ends[0]) / 3
    side = ends[0] - reach if left else ends[1] + reach
    axes.plot([rank, rank, side], [0, level, level], color="0.35", linewidth=0.8)
    text = f"{label}  {rank:.2f}" if left else f"{rank:.2f}  {label}"
    axes.text(
        side + (-0.04 if left else 0.04),
        level,
        text,
        ha="right" if left else "left",
        va="center",
        fontsize=8,
        parse_math=False,
    )


def _critical(axes: Axes, ranks: MeanRanks, count: int) -> None:
    """The length of the critical difference, over the axis."""
    if ranks.p > 0.05 or ranks.critical > count - 1:
        return
    axes.plot([1, 1 + ranks.critical], [1.6, 1.6], color="black", linewidth=1.5, marker="|")
    middle = 1 + ranks.critical / 2
    axes.text(middle, 1.85, f"CD {ranks.critical:.2f}", ha="center", va="bottom", fontsize=8)


def _words(ranks: MeanRanks) -> str:
    p = "p < 0.001" if ranks.p < 0.001 else f"p = {ranks.p:.3f}"
    found = (
        "no difference is shown"
        if ranks.p > 0.05
        else "bars join methods not shown to differ (Nemenyi, 5 %)"
    )
    return f"Mean ranks over {ranks.subjects} subjects, 1 is best. Friedman {p}: {found}."
