"""What a table is, before anyone decides how it looks: panels of cells, a caption, notes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from uad_bench.evaluation.values import Direction

Group = Literal["detector", "supervised", "control", "published", "dataset"]
"""What a column is about; ``dataset`` is a fact of the dataset, whatever the method."""
CellState = Literal["value", "undefined", "failed", "absent"]
Style = Literal["ratio", "distance", "percent", "share", "p"]
Rows = Literal["datasets", "methods"]
"""What the rows of a table are."""

SYMBOLS: dict[Group, str] = {
    "detector": "",
    "supervised": "‡",
    "control": "†",
    "published": "§",
    "dataset": "",
}
"""The mark that follows a method's title, by group."""

ELSEWHERE = "¶"
"""The mark that follows a method's title where its anomaly maps were made elsewhere."""

ELSEWHERE_NOTE = (
    "Anomaly maps made elsewhere: uad-bench scored them, and does not know what their method "
    "learned from."
)
"""What a table says of them."""

SUPERVISED_NOTE = "Supervised: saw lesion masks in training."
"""What tables and figures say of methods that did."""

GROUPS: dict[Group, str] = {
    "detector": "Unsupervised",
    "supervised": "Supervised",
    "control": "Controls",
    "published": "Published, other data",
    "dataset": "Dataset",
}
"""The heading over a group of methods, in the order in which groups stand."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a table, or why there is none.

    Attributes:
        state: ``value``; ``undefined`` where the metric has no value; ``failed``; ``absent``
            where it was never computed.
        value: the number, the mean over seeds where there are several.
        sd: standard deviation over seeds (n - 1 in the denominator), with two seeds or more.
        seeds: how many seeds stand behind it.
        low: lower end of the 95 % interval, where there is one.
        high: upper end of it.
        bracketed: whether the interval is shown.
        difference: ours minus this number, where this one was published.
        rank: 1 for the best, 2 for the second best of a row as shown, else 0.
        style: how the number is written.
        marks: numbers of the footnotes that belong to it.
    """

    state: CellState = "absent"
    value: float | None = None
    sd: float | None = None
    seeds: int = 0
    low: float | None = None
    high: float | None = None
    bracketed: bool = False
    difference: float | None = None
    rank: int = 0
    style: Style = "ratio"
    marks: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The number as shown, without interval, rank and marks; a dash where there is none."""
        if self.state != "value" or self.value is None:
            return "n/a" if self.state == "undefined" else "–"
        text = format_number(self.value, self.style)
        if self.difference is not None:
            return f"{text} ({format_difference(self.difference, self.style)})"
        return text if self.sd is None else f"{text} ± {format_number(self.sd, self.style)}"

    @property
    def interval(self) -> str:
        """The interval as shown, or nothing."""
        if not self.bracketed or self.low is None or self.high is None:
            return ""
        return f"[{format_number(self.low, self.style)}, {format_number(self.high, self.style)}]"


@dataclass(frozen=True, slots=True)
class Column:
    """One detector under one post-processing.

    Attributes:
        method: name on the command line.
        label: title, with what tells it from its namesakes, without post-processing.
        group: which group of methods it stands in.
        postprocessing: name of its post-processing.
        supervised_on: the dataset that a supervised method learned from.
        variant: what the post-processing puts behind the label, such as ``*``.
        params_hash: hash of its parameters; empty for published numbers.
        training: what it learned from, such as ``HI (simulated)``.
        elsewhere: whether its anomaly maps were made elsewhere.
        marks: numbers of the footnotes that belong to it.
    """

    method: str
    label: str
    group: Group
    postprocessing: str
    variant: str = ""
    supervised_on: str = ""
    params_hash: str = ""
    training: str = ""
    elsewhere: bool = False
    marks: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The heading: label, what its post-processing puts behind it, and symbols."""
        elsewhere = ELSEWHERE if self.elsewhere else ""
        return f"{self.label}{self.variant}{SYMBOLS[self.group]}{elsewhere}"


@dataclass(frozen=True, slots=True)
class Row:
    """One dataset, or a summary over all of them.

    Attributes:
        dataset: name on the command line; empty for a summary.
        label: heading, without the word simulated.
        simulated: whether its scans are phantoms.
        marks: numbers of the footnotes that belong to it.
    """

    dataset: str
    label: str
    simulated: bool = False
    marks: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The heading, which says simulated where that is true."""
        return f"{self.label} (simulated)" if self.simulated else self.label


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric over datasets (rows) and methods (columns).

    Attributes:
        metric: its name in the records.
        title: its name in print, with unit.
        unit: ``mm``, ``px``, ``per scan`` or nothing.
        better: which direction is better; ``None`` where there is none.
        target: the value that is best, where it is neither the highest nor the lowest.
        columns: the methods.
        rows: the datasets; summaries last.
        cells: ``cells[row][column]``.
    """

    metric: str
    title: str
    unit: str
    better: Direction | None
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    cells: tuple[tuple[Cell, ...], ...]
    target: float | None = None

    @property
    def heading(self) -> str:
        """Title, unit and an arrow to the better side or to the target."""
        arrow = {"higher": " ↑", "lower": " ↓", None: ""}[self.better]
        if self.target is not None:
            arrow = f" → {100 * self.target:g} %"
        return f"{self.title}{f' ({self.unit})' if self.unit else ''}{arrow}"

    def without_empty_columns(self) -> Panel:
        """The same panel without published columns that say nothing here."""
        kept = [
            index
            for index, column in enumerate(self.columns)
            if column.group != "published"
            or any(row[index].state != "absent" for row in self.cells)
        ]
        return replace(
            self,
            columns=tuple(self.columns[index] for index in kept),
            cells=tuple(tuple(row[index] for index in kept) for row in self.cells),
        )

    @property
    def ranked(self) -> bool:
        """Whether any number is marked as best."""
        return any(cell.rank for row in self.cells for cell in row)


@dataclass(frozen=True, slots=True)
class Note:
    """One note below a table.

    Attributes:
        mark: a number or a symbol; empty where the note is about how numbers are written.
        text: what it says.
        about: which cells need it, where it has no mark.
    """

    mark: str
    text: str
    about: Literal["mark", "interval", "no interval", "difference"] = "mark"


@dataclass(frozen=True, slots=True)
class Table:
    """Everything a renderer needs.

    Attributes:
        name: short name for files and LaTeX labels.
        protocol: the evaluation protocol; ``published`` where only the paper's numbers stand.
        caption: what it shows, and what of it is simulated.
        panels: one per metric.
        notes: footnotes, symbols first.
        basis: what its numbers stand on: protocol, training, preparation, seeds and subjects.
        rows: what its rows are; as it fits if not said.
        beside: metrics whose panels are side by side in print, where there is room.
    """

    name: str
    protocol: str
    caption: str
    panels: tuple[Panel, ...]
    notes: tuple[Note, ...]
    basis: str = ""
    rows: Rows | None = None
    beside: tuple[tuple[str, ...], ...] = ()

    @property
    def ranked(self) -> bool:
        """Whether any number is marked as best."""
        return any(panel.ranked for panel in self.panels)


def format_number(value: float, style: Style) -> str:
    """Write a number.

    Ratios get three decimals, distances one; changes are signed percentages, shares are unsigned
    ones.
    """
    if style == "ratio":
        return f"{value:.3f}"
    if style == "distance":
        return f"{value:.1f}"
    if style == "percent":
        return f"{value:+.1f} %"
    if style == "share":
        return f"{100 * value:.2f} %"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def format_difference(value: float, style: Style) -> str:
    """Write a difference between two numbers of a style, with its sign."""
    text = format_number(abs(value), style)
    return text if float(text) == 0 else f"{'+' if value > 0 else '-'}{text}"
