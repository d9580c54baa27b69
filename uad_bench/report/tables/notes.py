"""What a table says in words: caption, footnotes numbered as they are met, what it stands on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from uad_bench.cells import CellRecord, DatasetUse
from uad_bench.evaluation.postprocessing import PostProcessing
from uad_bench.evaluation.protocol import MetricInfo, Protocol
from uad_bench.evaluation.statistics.intervals import FEWEST
from uad_bench.report.publication import PrintedTable
from uad_bench.report.tables.arrange import Arrangement, training_title
from uad_bench.report.tables.model import (
    ELSEWHERE,
    ELSEWHERE_NOTE,
    SUPERVISED_NOTE,
    SYMBOLS,
    Cell,
    Column,
    Group,
    Note,
)
from uad_bench.report.tables.states import different_states
from uad_bench.study_record import OBJECTIVES, Objective


class Footnotes:
    """Collects footnotes and numbers them; the same text gets the same number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> int:
        """The number of the footnote that says ``text``, from 1."""
        return self._numbers.setdefault(text, len(self._numbers) + 1)

    def notes(self) -> tuple[Note, ...]:
        """All footnotes so far, in order."""
        return tuple(Note(str(number), text) for text, number in self._numbers.items())


def row_marks(records: Sequence[CellRecord], notes: Footnotes) -> tuple[int, ...]:
    """Footnotes of a dataset: excluded scans, displaced masks, data that changed in between."""
    uses = _whole_uses(records)
    reasons = sorted({(one.scan, one.reason) for use in uses for one in use.excluded})
    texts = [f"{scan} is excluded: {reason}" for scan, reason in reasons]
    shifts = sorted({(use.displaced, use.displaced_mm) for use in uses if use.displaced})
    texts += [_displaced(scans, mm) for scans, mm in shifts]
    if states := different_states(records):
        texts.append(
            f"Numbers of this dataset stand on different data (manifests {', '.join(states)}), "
            "do not compare and are not ranked: run it again with --overwrite all"
        )
    return tuple(notes.mark(sentence(text)) for text in texts)


def _whole_uses(records: Sequence[CellRecord]) -> list[DatasetUse]:
    """The data of the cells that were tested on all of a dataset."""
    return [one.data for one in records if one.data is not None and not one.spec.tested_in_part]


def _displaced(scans: int, mm: float) -> str:
    """Masks whose header was not believed."""
    whose = "1 scan" if scans == 1 else f"{scans} scans"
    return (
        f"Masks of {whose} were displaced by up to {mm:.3g} mm by their headers and laid voxel on "
        "voxel (--mask-shift)"
    )


def column_marks(column: Column, columns: Sequence[Column], notes: Footnotes) -> tuple[int, ...]:
    """Footnote of a method that learned from something else than the others."""
    if column.supervised_on:  # its title says it
        return ()
    trainings = {one.training for one in columns if one.training and not one.supervised_on}
    if len(trainings) < 2 or not column.training:
        return ()
    return (notes.mark(f"Learned from {column.training}."),)


def caption(
    records: Sequence[CellRecord],
    arrangement: Arrangement,
    protocol: Protocol,
    form: PrintedTable | None,
) -> str:
    """What a table shows, in a few words, and what of it is simulated.

    Args:
        records: the records behind the table; without any, only the paper's numbers stand in it.
        arrangement: its rows and columns.
        protocol: the protocol of the records.
        form: the paper's table whose form it has.
    """
    if not records:
        where = "" if form is None else f", Table {form.number}"
        return f"{arrangement.paper.caption}{where}."
    what = "Results per dataset" if form is None else form.caption
    return " ".join([*_simulated(records, arrangement), f"{what}, protocol {protocol.name}."])


def basis(
    records: Sequence[CellRecord],
    arrangement: Arrangement,
    protocol: Protocol,
    metrics: Sequence[MetricInfo],
    postprocessings: Sequence[PostProcessing],
) -> str:
    """What the numbers of a table stand on: protocol, training, recipe, seeds and subjects.

    Args:
        records: the records behind the table.
        arrangement: its rows and columns.
        protocol: the protocol of the records.
        metrics: the metrics shown, each of which says what a reader must know of it.
        postprocessings: the post-processings of its columns.
    """
    if not records:
        return ""
    parts = [protocol.caption, *dict.fromkeys(note for one in metrics for note in one.notes)]
    if any(record.spec.space == "native" for record in records):
        parts.append("Scored on each scan's own voxels (native space).")
    for who, taught in (("Detectors", False), ("Supervised methods", True)):
        trainings = _uses(r.training for r in records if bool(r.spec.supervised_on) == taught)
        sources = [
            f"{people_in_words(use.subjects)} of {training_title(use, arrangement.paper)}"
            for use in trainings
        ]
        if sources:
            joined = (", or from " if taught else " and from ").join(sources)
            parts.append(f"{who} learned from {joined}.")
    parts += _tuned(records)
    parts += _fallback(records)
    recipes = sorted({use.recipe for use in _uses(record.data for record in records)})
    if recipes:
        parts.append(f"Preparation recipe: {', '.join(recipes)}.")
    parts += _seeds(records)
    parts += _subjects(arrangement)
    shown = {column.postprocessing for column in arrangement.columns}
    parts += [
        f"{one.mark.strip()}: {one.explanation}."
        for one in postprocessings
        if one.mark and one.name in shown
    ]
    return " ".join(parts)


def legend(arrangement: Arrangement, cells: Sequence[Cell], *, intervals: bool) -> list[Note]:
    """Notes that explain symbols, gaps and brackets, as far as the table has them.

    Args:
        arrangement: the methods, and the paper whose numbers may be among them.
        cells: all cells of the panels.
        intervals: whether intervals were asked for, so that a number without one is explained.
    """
    texts: tuple[tuple[Group, str], ...] = (
        ("supervised", SUPERVISED_NOTE),
        (
            "control",
            "Control, not a detector: a method that does not beat it has not been shown to work.",
        ),
        ("published", arrangement.paper.legend),
    )
    groups = {column.group for column in arrangement.columns}
    notes = [Note(SYMBOLS[group], text) for group, text in texts if group in groups]
    if any(column.elsewhere for column in arrangement.columns):
        notes.append(Note(ELSEWHERE, ELSEWHERE_NOTE))
    if any(
        cell.state == "absent" and not cell.marks and cell.style not in ("percent", "share")
        for cell in cells
    ):
        notes.append(Note("–", "Not computed."))
    if any(cell.interval for cell in cells):
        average = ", ends averaged over seeds" if any(cell.sd is not None for cell in cells) else ""
        notes.append(Note("", f"Brackets: 95 % interval over patients{average}.", "interval"))
    if any(cell.difference is not None for cell in cells):
        notes.append(Note("", "In parentheses: ours minus the published number.", "difference"))
    if intervals and any(cell.seeds and not cell.interval for cell in cells):
        text = (
            "No brackets: there is no interval that would hold the truth often enough, as with "
            f"fewer than {FEWEST} subjects or without a difference between them."
        )
        notes.append(Note("", text, "no interval"))
    return notes


def _simulated(records: Sequence[CellRecord], arrangement: Arrangement) -> list[str]:
    healthy = (record.maps.healthy for record in records if record.maps is not None)
    trained = _uses((*(record.training for record in records), *healthy))
    datasets = [row.label for row in arrangement.rows if row.simulated]
    title = arrangement.paper.title
    learned = sorted({use.title or title(use.dataset) for use in trained if use.simulated})
    priors = any(record.fit is not None and record.fit.simulated_prior for record in records)
    if not datasets and not learned and not priors:
        return []
    if len(datasets) == len(arrangement.rows) and all(use.simulated for use in trained):
        but = []
        if any(column.group == "published" for column in arrangement.columns):
            but.append("those of published numbers")
        if any(column.elsewhere for column in arrangement.columns):
            but.append(f"what methods with {ELSEWHERE} learned from")
        words = f"but {' and '.join(but)} " if but else ""
        return [f"All data {words}are simulated."]
    parts = []
    if learned:
        parts.append(f"the training data ({', '.join(learned)})")
    if datasets:
        parts.append(f"the patients of {', '.join(datasets)}")
    if priors and not learned:
        parts.append("the tissue prior (--atlas)")
    return [f"Simulated: {' and '.join(parts)}."]


def _tuned(records: Sequence[CellRecord]) -> Iterator[str]:
    """What chose the parameters of which methods, a sentence per kind of study."""
    methods: defaultdict[tuple[Objective | Literal[""], int], set[str]] = defaultdict(set)
    for record in records:
        if record.fit is not None and record.fit.tuned:
            methods[record.fit.objective, record.fit.trials].add(record.method_title)
    for (objective, trials), titles in sorted(methods.items()):
        named, count = ", ".join(sorted(titles)), "1 trial" if trials == 1 else f"{trials} trials"
        by = f" by {OBJECTIVES[objective]}" if objective else ""
        yield f"{named}: tuned on healthy validation scans{by}, {count}."


def _fallback(records: Sequence[CellRecord]) -> list[str]:
    """Which methods took the template for the tissues of healthy people."""
    using = [r for r in records if r.fit is not None and r.fit.fallback_prior]
    titles = sorted({record.method_title for record in using})
    if not titles:
        return []
    return [
        f"Tissue prior of {', '.join(titles)}: the MNI152 template's maps (fallback), because the "
        "training data have tissue maps of fewer than two subjects."
    ]


def _seeds(records: Sequence[CellRecord]) -> list[str]:
    seeds = sorted({record.spec.seed for record in records if record.maps is None})
    if not seeds:
        return []
    if len(seeds) == 1:
        return [f"Seed: {seeds[0]}."]
    listed = ", ".join(map(str, seeds))
    return [f"Seeds: {listed} (mean ± standard deviation where a method has several)."]


def _subjects(arrangement: Arrangement) -> list[str]:
    mixed = len({row.simulated for row in arrangement.rows}) > 1
    counts: dict[str, str] = {}
    for row, records in zip(arrangement.rows, arrangement.by_row, strict=True):
        found = {use.subjects for use in _whole_uses(records)}
        if found:
            span = str(min(found)) if len(found) == 1 else f"{min(found)} to {max(found)}"
            counts[row.title if mixed else row.label] = span
    if not counts:
        return []
    if len(counts) > 1 and len(set(counts.values())) == 1:
        return [f"Test subjects: {next(iter(counts.values()))} in each dataset."]
    return [f"Test subjects: {', '.join(f'{name} {n}' for name, n in counts.items())}."]


def _uses(uses: Iterable[DatasetUse | None]) -> list[DatasetUse]:
    """The different ones, as far as a caption can tell them apart."""
    different = {
        (use.dataset, use.title, use.simulated, use.subjects, use.recipe): use
        for use in uses
        if use is not None
    }
    return [different[key] for key in sorted(different)]


def people_in_words(count: int) -> str:
    """``1 subject``, ``2 subjects``."""
    return "1 subject" if count == 1 else f"{count} subjects"


def sentence(text: str) -> str:
    """``text`` on one line, with a full stop."""
    text = " ".join(text.split())
    return text if text.endswith(".") else f"{text}."
