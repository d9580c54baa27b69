"""How figures look: sized for a column, fonts as in LaTeX, lines that differ in grey too."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal, get_args

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from uad_bench.cells import CellRecord, Group
from uad_bench.errors import UadBenchError
from uad_bench.report.letters import spell_missing
from uad_bench.report.tables.arrange import Arrangement
from uad_bench.report.tables.model import ELSEWHERE, ELSEWHERE_NOTE, SUPERVISED_NOTE, SYMBOLS
from uad_bench.report.tables.states import parts_note, trainings_note

COLUMN = 3.4
"""Width of one column of a two-column paper, in inches."""

PAGE = 7.0
"""Width of both columns, in inches."""

Points = Sequence[float] | NDArray[Any] | float
"""Where points are along one axis."""

Ending = Literal["pdf", "svg", "png"]
ENDINGS: tuple[Ending, ...] = get_args(Ending)

MOST_PER_ROW = 3
_HEIGHT = 2.1
_LEGEND_LINE = 0.16
_PNG_DPI = 300
_SMALL = 7
LETTERS_PER_INCH = 19
"""Letters of a note that fit an inch."""
_LETTERS_PER_INCH_OF_TITLE = 15

_STYLE: Any = {
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": _SMALL,
    "ytick.labelsize": _SMALL,
    "legend.fontsize": _SMALL,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "uad-bench",
}
_COLOURS: Mapping[Group, tuple[str, ...]] = {
    "detector": (
        *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b"),
        *("#882255", "#999933", "#332288", "#44aa99", "#ddcc77"),
    ),
    "supervised": ("#000000", "#4b0082", "#7b4fb5", "#a983d8", "#cfb3ee", "#6b5b7b"),
    "control": ("#555555", "#999999", "#777777", "#bbbbbb"),
}
"""Colours by group. Those of detectors are Okabe and Ito's, then Tol's, which colour-blind people
can tell apart."""

Dashes = Literal["-", "--", "-.", ":", ""]
_DASHES: tuple[Dashes, ...] = ("-", "--", ":", "-.")
_MARKERS: tuple[str, ...] = ("o", "s", "^", "D", "v", "P", "p")
_CONTROL_MARKERS: tuple[str, ...] = ("x", "+", "1", "2", "3", "4")


@dataclass(frozen=True, slots=True)
class Ink:
    """How one column of a table is drawn.

    A method has a colour and a marker, a post-processing has dashes, so that lines can be told
    apart in grey too. The markers of the first post-processing are filled.

    Attributes:
        colour: as matplotlib writes it.
        dashes: the line's; empty where there is none.
        marker: the point's.
        filled: whether the point is.
        label: what the legend calls it.
        thin: whether it stands back, as controls do.
    """

    colour: str
    dashes: Dashes
    marker: str
    filled: bool
    label: str
    thin: bool = False

    def draw(self, panel: Axes, x: Points, y: Points, **more: Any) -> None:
        """Draw points and the line through them."""
        panel.plot(x, y, **self._look, **more)

    def dot(self, panel: Axes, x: Points, y: Points, **more: Any) -> None:
        """Draw points without a line."""
        panel.plot(x, y, **(self._look | {"linestyle": ""}), **more)

    @property
    def handle(self) -> Line2D:
        """What is beside the label in a legend."""
        return Line2D([], [], **self._look)

    @property
    def _look(self) -> Any:
        return {
            "color": self.colour,
            "linestyle": self.dashes,
            "marker": self.marker,
            "markerfacecolor": self.colour if self.filled else "white",
            "linewidth": 0.7 if self.thin else 1.1,
        }


Detectors = Mapping[tuple[str, str, str], int]
"""The place of each method in its group: by name, what it learned from, and hash of parameters."""


def detectors_of(records: Iterable[CellRecord]) -> Detectors:
    """Return the place of each method of a results folder among those of its group."""
    places: dict[tuple[str, str, str], int] = {}
    counts: Counter[Group] = Counter()
    for record in records:
        key = record.spec.method, record.spec.supervised_on, record.spec.params_hash
        if key not in places:
            places[key] = counts[record.group]
            counts[record.group] += 1
    return places


def inks(arrangement: Arrangement, detectors: Detectors) -> tuple[Ink, ...]:
    """Return how each column is drawn: the same in every figure of a results folder.

    Args:
        arrangement: the columns.
        detectors: the places of all methods of the folder.
    """
    variants = list(dict.fromkeys(column.postprocessing for column in arrangement.columns))
    found = []
    for column in arrangement.columns:
        group = next(one for one in _COLOURS if one == column.group)
        at = detectors[column.method, column.supervised_on, column.params_hash]
        variant = variants.index(column.postprocessing)
        colours = _COLOURS[group]
        markers = _CONTROL_MARKERS if group == "control" else _MARKERS
        found.append(
            Ink(
                colours[at % len(colours)],
                _DASHES[variant % len(_DASHES)],
                markers[(at + at // len(markers)) % len(markers)],
                not variant,
                column.title,
                thin=group == "control",
            )
        )
    return tuple(found)


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save in the house's style while the block runs."""
    with rc_context(_STYLE):
        yield


def panels(
    titles: Sequence[str], *, height: float = _HEIGHT, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel per title: one column wide for one panel, else two.

    Args:
        titles: of the panels.
        height: of a panel, in inches.
        share: whether all have the same axes, which are labelled at the figure's edge only.
    """
    across = min(MOST_PER_ROW, len(titles))
    down = -(-len(titles) // across)
    width = COLUMN if across == 1 else PAGE
    figure = Figure(figsize=(width, height * down), layout="constrained")
    axes = [
        one
        for row in figure.subplots(down, across, sharex=share, sharey=share, squeeze=False)
        for one in row
    ]
    letters = int(width / across * _LETTERS_PER_INCH_OF_TITLE)
    for one, title in zip(axes, titles, strict=False):
        one.set_title("\n".join(wrap(title, letters)), parse_math=False)
    for one in axes[len(titles) :]:
        one.set_axis_off()
    return figure, axes[: len(titles)]


def label_edges(axes: Sequence[Axes]) -> None:
    """Label panels that share axes at the figure's edge: the first of a row, the last of a column.

    The last row may have fewer panels than the one above it, whose axes are labelled then.
    """
    across = min(MOST_PER_ROW, len(axes))
    for at, panel in enumerate(axes):
        label = panel.get_xlabel()
        panel.label_outer()
        if at + across >= len(axes):
            panel.xaxis.set_tick_params(labelbottom=True)
            panel.set_xlabel(label)


def explain(figure: Figure, some: Sequence[Ink], *said: str) -> None:
    """Put the legend and what a reader must know below the panels; the figure grows for it."""
    width = figure.get_figwidth()
    letters = int(width * LETTERS_PER_INCH)
    text = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", " ".join(filter(None, said)))
    lines = [line.replace("\N{NO-BREAK SPACE}", " ") for line in wrap(text, letters)]
    longest = max((len(one.label) for one in some), default=1)
    columns = max(1, min(len(some), letters // (longest + 7)))
    rows = -(-len(some) // columns)
    added = _LEGEND_LINE * (rows + len(lines)) + 0.1
    figure.set_figheight(figure.get_figheight() + added)
    if not some:
        figure.supxlabel("\n".join(lines), fontsize=_SMALL, parse_math=False)
        return
    handles: list[Artist] = [one.handle for one in some]
    legend = figure.legend(
        handles,
        ["-"] * len(some),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        title="\n".join(lines),
        title_fontsize=_SMALL,
    )
    legend.get_title().set_parse_math(False)
    legend.get_title().set_multialignment("center")
    for written, one in zip(legend.get_texts(), some, strict=True):
        written.set_parse_math(False)
        written.set_text(one.label)


def ending_of(file: Path) -> Ending:
    """Return what kind of file is asked for.

    Raises:
        UadBenchError: another one.
    """
    for ending in ENDINGS:
        if file.suffix.lower() == f".{ending}":
            return ending
    raise UadBenchError(f"{file}: write .pdf, .svg or .png")


def encoded(figure: Figure, ending: Ending) -> bytes:
    """Return the file's bytes: vectors as PDF or SVG, pixels as PNG; the same every time."""
    dates: Mapping[Ending, Mapping[str, None]] = {
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
    }
    spell_missing(figure)
    data = io.BytesIO()
    figure.savefig(data, format=ending, dpi=_PNG_DPI, metadata=dict(dates[ending]))
    return data.getvalue()


def plain_logarithm(axis: Axis, numbers: Sequence[int] = (1, 2, 5)) -> None:
    """Make an axis logarithmic, with numbers as people write them.

    Args:
        axis: which one.
        numbers: of each decade.
    """
    (axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=numbers))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def row_titles(arrangement: Arrangement) -> list[str]:
    """Return what each dataset's panel is called."""
    return [f"{row.label} (simulated)" if row.simulated else row.label for row in arrangement.rows]


def notes_of(arrangement: Arrangement, shown: Sequence[int]) -> Iterator[str]:
    """Yield what a reader must know of the methods in some columns, a sentence each."""
    columns = [arrangement.columns[column] for column in shown]
    trained = sorted({column.training for column in columns if column.training})
    if trained:
        yield f"Trained on {', '.join(trained)}."
    if any(column.group == "control" for column in columns):
        yield f"{SYMBOLS['control']} Control."
    if any(column.group == "supervised" for column in columns):
        yield f"{SYMBOLS['supervised']} {SUPERVISED_NOTE}"
    everywhere = range(len(arrangement.rows))
    yield from parts_note(arrangement, everywhere, shown)
    yield from trainings_note(arrangement, everywhere, shown)
    if any(column.elsewhere for column in columns):
        yield f"{ELSEWHERE} {ELSEWHERE_NOTE}"
