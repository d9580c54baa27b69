"""The page that a person looks at after preparation: every scan of a dataset, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import quote

from uad_bench.report.page.template import rendered
from uad_bench.volumes.checks.quality import ScanQuality

State = Literal["held out", "unreadable", "ready", "excluded"]
STATES: tuple[State, ...] = get_args(State)
"""What can become of a scan, in the order of the page: what needs a look first."""


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One scan on the page.

    Attributes:
        name: the scan.
        state: what became of it; ``excluded`` is a person's decision, ``held out`` this program's.
        reason: why it does not take part; empty for a ready scan.
        quality: its numbers; ``None`` where it never came that far.
        warnings: what is odd about it, in plain words.
        steps: what was done, with the seconds that it took.
        methods: how, as pairs such as ``("stripped", "ROBEX 1.2")``.
        picture: path of its picture, relative to the page.
    """

    name: str
    state: State
    reason: str = ""
    quality: ScanQuality | None = None
    warnings: tuple[str, ...] = ()
    steps: tuple[tuple[str, float], ...] = ()
    methods: tuple[tuple[str, str], ...] = ()
    picture: str | None = None


def quality_page(
    title: str,
    rows: Sequence[QualityRow],
    *,
    simulated: bool,
    facts: Sequence[tuple[str, str]] = (),
) -> str:
    """Write one HTML page of a dataset's scans, worst first; pictures are files beside it.

    It needs no network and no JavaScript, and can be printed. What was held out comes first, then
    what could not be read, ready scans with warnings, the others by how well they fit the
    template, and last what a person excluded.

    Args:
        title: the dataset.
        rows: its scans, in any order.
        simulated: whether they are phantoms; the page then says so.
        facts: what holds for all of them, such as ``("recipe", "median")``.
    """
    return rendered(
        "quality.html.j2",
        title=title,
        simulated=simulated,
        facts=facts,
        summary=_summary(rows),
        columns=_COLUMNS,
        scans=[_entry(row) for row in sorted(rows, key=_worst_first)],
        legend=_LEGEND,
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row as the template prints it."""

    row: QualityRow
    label: str
    alert: bool
    cells: tuple[str, ...]
    made: tuple[tuple[str, str], ...]
    picture: str


_LABELS: dict[State, str] = {
    "held out": "held out",
    "unreadable": "not readable",
    "ready": "ready",
    "excluded": "excluded by hand",
}
_COLUMNS = ("fit", "Dice", "corr.", "brain ml", "CSF", "GM", "lesion ml", "outside", "clipped", "s")
_LEGEND = (
    ("fit", "by how much the scan fits the template better as it lies than moved or turned"),
    ("Dice", "of the scan's brain and the template's"),
    ("corr.", "correlation with the FLAIR that the template's tissues would show"),
    ("brain ml", "volume of the brain in template space, which is larger than a person's"),
    ("CSF, GM", "brightness of deep fluid and grey matter, white matter being 1"),
    ("lesion ml", "volume of the lesion in template space, before and after resampling"),
    ("outside", "share of the lesion outside the brain mask"),
    ("clipped", "share of the lesion that normalisation clips at the brightest value"),
    ("s", "seconds that the scan took"),
)


def _worst_first(row: QualityRow) -> tuple[int, int, float, str]:
    fit = row.quality.advantage if row.quality else 0.0
    return STATES.index(row.state), -len(row.warnings), fit, row.name


def _summary(rows: Sequence[QualityRow]) -> str:
    counts = Counter(row.state for row in rows)
    warned = sum(row.state == "ready" and bool(row.warnings) for row in rows)
    note = {"ready": f" ({warned} with a warning)"} if warned else {}
    parts = [f"{counts[s]} {_LABELS[s]}{note.get(s, '')}" for s in STATES if counts[s]]
    return f"{len(rows)} {'scan' if len(rows) == 1 else 'scans'}: {', '.join(parts) or 'none'}"


def _entry(row: QualityRow) -> _Entry:
    warned = row.state == "ready" and bool(row.warnings)
    steps = tuple((name, f"{seconds:.1f} s") for name, seconds in row.steps)
    return _Entry(
        row=row,
        label=f"{_LABELS[row.state]}, look at it" if warned else _LABELS[row.state],
        alert=warned or row.state in ("held out", "unreadable"),
        cells=_cells(row),
        made=(*row.methods, *steps),
        picture=quote(row.picture or ""),
    )


def _cells(row: QualityRow) -> tuple[str, ...]:
    """The row's numbers, in the order of ``_COLUMNS``; empty where there is none."""
    seconds = f"{sum(value for _, value in row.steps):.0f}" if row.steps else ""
    quality = row.quality
    if quality is None:
        return (*("" for _ in _COLUMNS[1:]), seconds)
    lesion = ""
    if quality.lesion_ml_before:
        after = "" if quality.lesion_ml_after is None else f" → {quality.lesion_ml_after:.1f}"
        lesion = f"{quality.lesion_ml_before:.1f}{after}"
    return (
        f"{quality.advantage:+.2f}",
        f"{quality.dice:.2f}",
        f"{quality.correlation:z.2f}",
        f"{quality.brain_ml:.0f}",
        "" if quality.csf is None else f"{quality.csf:.2f}",
        "" if quality.gm is None else f"{quality.gm:.2f}",
        lesion,
        "" if quality.lesion_outside is None else f"{quality.lesion_outside:.1%}",
        "" if quality.saturated_share is None else f"{quality.saturated_share:.0%}",
        seconds,
    )
