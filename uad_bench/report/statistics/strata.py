"""A metric by group of scans: by site, scanner, age band, sex, lesion volume or lesion number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from statistics import fmean
from types import MappingProxyType

from uad_bench.cells import CellRecord, ScanTraits
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import MetricInfo
from uad_bench.evaluation.statistics.intervals import Interval, Scale, mean_interval
from uad_bench.evaluation.statistics.people import subject_means
from uad_bench.plugins.registry import Registry
from uad_bench.report.statistics.chosen import Chosen, Question, choose
from uad_bench.report.statistics.listing import Listing, Value
from uad_bench.report.statistics.values import refuse_pooled
from uad_bench.report.tables.model import Row, Style, format_number
from uad_bench.report.tables.notes import people_in_words
from uad_bench.report.tables.states import parts_note

Bands = tuple[tuple[float, str], ...]

VOLUMES: Bands = (
    (1.0, "below 1 ml"),
    (5.0, "1 to 5 ml"),
    (20.0, "5 to 20 ml"),
    (inf, "20 ml and more"),
)
COUNTS: Bands = ((2, "1"), (6, "2 to 5"), (21, "6 to 20"), (inf, "21 and more"))
"""Numbers below which a scan is in a band, and what it is called."""

_NO_LESION = "no lesion"


@dataclass(frozen=True, slots=True)
class Trait:
    """Something that scans are grouped by.

    Attributes:
        title: what tables call it.
        group: the group of a scan; ``None`` where it is not stated.
        order: the groups in order; by name where there is none.
        column: the column of ``participants.tsv`` that states it; empty where masks tell.
    """

    title: str
    group: Callable[[ScanTraits], str | None]
    order: tuple[str, ...] = ()
    column: str = ""


def _band(number: float, bands: Bands) -> str:
    return next(name for below, name in bands if number < below) if number else _NO_LESION


TRAITS: Mapping[str, Trait] = MappingProxyType(
    {
        "site": Trait("Site", lambda scan: scan.site, column="site"),
        "scanner": Trait("Scanner", lambda scan: scan.scanner, column="scanner"),
        "age": Trait("Age in years", lambda scan: scan.age, column="age"),
        "sex": Trait("Sex", lambda scan: scan.sex, column="sex"),
        "lesion-volume": Trait(
            "Lesion volume",
            lambda scan: _band(scan.lesion_ml, VOLUMES),
            (_NO_LESION, *(name for _, name in VOLUMES)),
        ),
        "lesion-count": Trait(
            "Lesions",
            lambda scan: _band(scan.lesions, COUNTS),
            (_NO_LESION, *(name for _, name in COUNTS)),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Stratum:
    """One method on one group of one dataset.

    Attributes:
        dataset: the dataset.
        method: the method.
        group: the group.
        subjects: how many of them have a value.
        value: their mean; ``None`` where they are too few to be shown.
        interval: the 95 % interval of it, where one can be had.
    """

    dataset: Row
    method: str
    group: str
    subjects: int
    value: float | None
    interval: Interval | None


def strata_listing(
    records: Sequence[CellRecord],
    registry: Registry,
    question: Question,
    *,
    by: str,
    fewest: int,
) -> Listing:
    """Show a metric by group.

    Args:
        records: all cells of a results folder.
        registry: where their protocol and post-processing are found.
        question: what is asked.
        by: the name of a trait.
        fewest: a group with fewer subjects is not shown.

    Raises:
        UadBenchError: an unknown name, a metric that single scans do not have, or a trait that
            nobody stated.
    """
    if by not in TRAITS:
        raise UadBenchError(f"--by {by}: unknown; available: {', '.join(TRAITS)}")
    if fewest < 1:
        raise UadBenchError(f"--fewest {fewest}: give 1 or more")
    trait = TRAITS[by]
    chosen = choose(records, registry, question)
    if not question.methods:
        chosen = _without_controls(chosen)
    done = [record for record in chosen.records if record.state == "done"]
    refuse_pooled(chosen.protocol, chosen.metric, done)
    _refuse_unstated(done, by, trait)
    found = [one for at in range(len(chosen.rows)) for one in _strata(chosen, at, trait, fewest)]
    return Listing(
        name="strata",
        caption=_caption(chosen, trait, fewest),
        head=("Dataset", trait.title, "Method", "Subjects", chosen.metric.title, "95 % interval"),
        words=3,
        lines=tuple(_line(one, chosen.metric, fewest) for one in found),
        sentences=(),
        notes=(
            *parts_note(chosen.arrangement, chosen.datasets, chosen.methods),
            *_notes(chosen, trait),
            *chosen.notes,
        ),
        values=tuple(_values(one, chosen.metric, by) for one in found),
    )


def _without_controls(chosen: Chosen) -> Chosen:
    """The same without controls, unless there is nothing else."""
    kept = tuple(at for at in chosen.methods if chosen.arrangement.columns[at].group != "control")
    return replace(chosen, methods=kept or chosen.methods)


def _refuse_unstated(records: Sequence[CellRecord], by: str, trait: Trait) -> None:
    """Refuse a trait that no scan has."""
    traits = [one for record in records for one in record.traits]
    if not traits:
        raise UadBenchError(
            f"--by {by}: these cells were computed before results had groups: run them again with "
            "--overwrite all"
        )
    if all(trait.group(one) is None for one in traits):
        raise UadBenchError(
            f"--by {by}: not stated of any scan; name it in the column {trait.column!r} of the "
            "dataset's participants.tsv, and run again with --overwrite all"
        )


def _strata(chosen: Chosen, dataset: int, trait: Trait, fewest: int) -> Iterator[Stratum]:
    """The groups of one dataset, each with every method."""
    cells = {at: chosen.cells(dataset, at) for at in range(len(chosen.columns))}
    by_method = {at: _groups(some, trait, chosen.metric) for at, some in cells.items() if some}
    names = {name for groups in by_method.values() for name in groups}
    order = {name: place for place, name in enumerate(trait.order)}
    scale: Scale = "amount" if chosen.metric.unit else "share"
    for name in sorted(names, key=lambda name: (order.get(name, 0), name)):
        for at, groups in by_method.items():
            values = groups.get(name, [])
            shown = len(values) >= fewest
            yield Stratum(
                dataset=chosen.rows[dataset],
                method=chosen.columns[at].label,
                group=name,
                subjects=len(values),
                value=fmean(values) if shown else None,
                interval=mean_interval(values, scale) if shown else None,
            )


def _groups(
    records: Sequence[CellRecord], trait: Trait, metric: MetricInfo
) -> dict[str, list[float]]:
    """The values of the subjects of each group, averaged over sessions and then over seeds."""
    found: dict[str, dict[str, list[float]]] = {}
    for record in records:
        group_of = {(one.subject, one.session): trait.group(one) for one in record.traits}
        for group in {name for name in group_of.values() if name is not None}:
            own = [s for s in record.scans if group_of.get((s.subject, s.session)) == group]
            for subject, value in subject_means(own, metric.name).items():
                found.setdefault(group, {}).setdefault(subject, []).append(value)
    return {group: [fmean(some) for some in own.values()] for group, own in found.items()}


def _notes(chosen: Chosen, trait: Trait) -> Iterator[str]:
    """How many subjects are in no group."""
    for at, row in enumerate(chosen.rows):
        places = range(len(chosen.columns))
        cells = [record for place in places for record in chosen.cells(at, place)]
        lacking = {s.subject for r in cells for s in r.traits if trait.group(s) is None}
        if lacking:
            yield (
                f"{row.title}: {people_in_words(len(lacking))} in no group, because "
                "participants.tsv does not state one, or in unknown words."
            )


def _caption(chosen: Chosen, trait: Trait, fewest: int) -> str:
    metric = chosen.metric
    unit = f" in {metric.unit}" if metric.unit else ""
    direction = f", {metric.better} is better" if metric.better else ""
    if metric.target is not None:
        direction = f", the nearer to {100 * metric.target:g} % the better"
    measured = "" if trait.column else " Lesions are those of the mask, at the person's own size."
    return (
        f"{chosen.caption} {metric.title}{unit} by {trait.title.lower()}{direction}: means over "
        f"subjects, with 95 % intervals. Groups of fewer than {people_in_words(fewest)} are not "
        f"shown.{measured}"
    )


def _line(one: Stratum, metric: MetricInfo, fewest: int) -> tuple[str, ...]:
    style: Style = "distance" if metric.unit else "ratio"
    interval = "–"
    if one.interval is not None:
        low, high = (format_number(end, style) for end in (one.interval.low, one.interval.high))
        interval = f"[{low}, {high}]"
    return (
        one.dataset.title,
        one.group,
        one.method,
        f"<{fewest}" if one.value is None else str(one.subjects),
        "–" if one.value is None else format_number(one.value, style),
        interval,
    )


def _values(one: Stratum, metric: MetricInfo, by: str) -> dict[str, Value]:
    return {
        "dataset": one.dataset.dataset,
        "simulated": one.dataset.simulated,
        "by": by,
        "group": one.group,
        "method": one.method,
        "metric": metric.name,
        "subjects": None if one.value is None else one.subjects,
        "value": one.value,
        "low": None if one.interval is None else one.interval.low,
        "high": None if one.interval is None else one.interval.high,
    }
