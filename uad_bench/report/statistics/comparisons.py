"""One method against others, dataset by dataset and over all of them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.protocol import MetricInfo
from uad_bench.evaluation.statistics.comparison import (
    Difference,
    SignedRanks,
    paired_difference,
    signed_rank_test,
)
from uad_bench.evaluation.statistics.intervals import Interval
from uad_bench.evaluation.statistics.people import fewest_for, holm, smallest_corrected
from uad_bench.plugins.registry import Registry
from uad_bench.report.statistics.chosen import Chosen, Question, choose
from uad_bench.report.statistics.values import Pair, Source, refuse_pooled
from uad_bench.report.tables.model import Column

LEVEL = 0.05
"""The p-value up to which a difference is claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One method against another, on one dataset or over several.

    Attributes:
        dataset: name of the dataset; empty over several.
        place: what tables call it.
        first: the method that is compared.
        second: the other.
        subjects: subjects with a value of both.
        dropped: subjects left out, because a value of one of them is missing.
        seeds: trainings of either.
        values: the metric of either, over these subjects and trainings.
        wins: for how many subjects the first is better, and for how many the second; ``None`` for a
            pooled metric.
        difference: first minus second.
        interval: its 95 % interval, where one can be had.
        probability: how probable it is that the first is better on average, where there is one.
        effect: the rank-biserial correlation, above 0 where the first is better; ``None`` for a
            pooled metric.
        p: the p-value by itself; ``None`` where none can be had.
        corrected: the same after Holm's correction over all comparisons shown.
        counted: subjects with a difference, which are those that the test counts.
        least: the smallest corrected p-value that these subjects allow; ``None`` where the test has
            no such limit.
        needed: how many subjects with a difference would allow one of 0.05; ``None`` likewise.
    """

    dataset: str
    place: str
    first: str
    second: str
    subjects: int
    dropped: int
    seeds: tuple[int, int]
    values: tuple[float, float]
    wins: tuple[int, int] | None
    difference: float
    interval: Interval | None
    probability: float | None
    effect: float | None
    p: float | None
    counted: int
    corrected: float | None = None
    least: float | None = None
    needed: int | None = None


@dataclass(frozen=True, slots=True)
class Comparisons:
    """What a question comes to.

    Attributes:
        chosen: the cells behind it.
        found: the comparisons, by the other method, then by dataset, all datasets last.
        tests: how many p-values Holm's correction is for.
        notes: what was left out, and why.
    """

    chosen: Chosen
    found: tuple[Comparison, ...]
    tests: int
    notes: tuple[str, ...]


def compare(
    records: Sequence[CellRecord], registry: Registry, root: Path, question: Question
) -> Comparisons:
    """Compare the first method of a question with each of the others.

    Args:
        records: all cells of a results folder.
        registry: where their protocol and post-processing are found.
        root: the results folder.
        question: two methods or more.

    Raises:
        UadBenchError: fewer than two methods, an unknown name, a metric that cannot be compared, or
            methods without a subject in common.
    """
    if len(question.methods) < 2:
        raise UadBenchError(
            "compare needs two methods or more: the first is compared with each of the others"
        )
    chosen = choose(records, registry, question)
    source = Source(root, chosen.metric)
    if chosen.metric.better is None:
        raise UadBenchError(
            f"--metric {chosen.metric.name}: neither more nor less of it is better, so it says of "
            "no method that it is better"
        )
    done = [record for record in chosen.records if record.state == "done"]
    refuse_pooled(chosen.protocol, chosen.metric, done, jackknife=True)
    first, *others = chosen.columns
    found: list[Comparison] = []
    notes: list[str] = []
    for at, other in enumerate(others, start=1):
        apart = chosen.apart(0, at)
        pairs = _pairs(chosen, source, at, apart)
        notes += apart.values()
        notes += _left_out(chosen, other, pairs, apart)
        notes += _not_together(chosen, at, pairs)
        own = list(_compared(chosen, source, at, pairs))
        if not own and apart:
            raise UadBenchError(
                f"{' '.join(apart.values())} Evaluate both on a dataset that it did not learn from"
            )
        if not own and (lone := list(_too_lone(chosen, other, pairs))):
            raise UadBenchError(" ".join(lone))
        if not own:
            why = "; ".join(chosen.failures(0, at)) or "evaluate both on the same dataset"
            raise UadBenchError(
                f"{first.label} and {other.label} have no subject with {chosen.metric.title} in "
                f"common: {why}"
            )
        found += own
    found = _corrected(found)
    every = (*_about_seeds(chosen), *notes, *chosen.notes)
    tests = sum(one.p is not None for one in found)
    return Comparisons(chosen, tuple(found), tests, tuple(dict.fromkeys(every)))


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with p-values after correction, and the smallest ones possible."""
    tested = [at for at, one in enumerate(found) if one.p is not None]
    after = dict(zip(tested, holm([one.p for one in found if one.p is not None]), strict=True))
    made = [replace(one, corrected=after.get(at)) for at, one in enumerate(found)]
    if any(one.effect is None for one in found):  # pooled: no test over ranks
        return made
    counted = [one.counted for one in found]
    return [
        replace(one, least=least, needed=fewest_for(LEVEL, counted, at))
        for at, (one, least) in enumerate(zip(made, smallest_corrected(counted), strict=True))
    ]


def _pairs(chosen: Chosen, source: Source, other: int, apart: Container[int]) -> dict[int, Pair]:
    """The two methods on each dataset on which both have finished, but for those apart."""
    rows = [at for at in range(len(chosen.rows)) if at not in apart]
    cells = {at: (chosen.cells(at, 0), chosen.cells(at, other)) for at in rows}
    return {at: source.pair(*both) for at, both in cells.items() if all(both)}


def _compared(
    chosen: Chosen, source: Source, other: int, pairs: dict[int, Pair]
) -> Iterator[Comparison]:
    """One comparison per dataset, and one over all where there are several."""
    titles = chosen.columns[0].label, chosen.columns[other].label
    usable = _usable(pairs)
    for at, pair in usable.items():
        row = chosen.rows[at]
        yield _comparison(chosen.metric, row.dataset, row.title, titles, [pair])
    if len(usable) < 2:
        return
    seeds = [_seeds_everywhere(chosen, list(usable), method) for method in (0, other)]
    if all(seeds):
        shared = [
            source.pair(
                *(
                    [r for r in chosen.cells(at, method) if r.spec.seed in kept]
                    for method, kept in zip((0, other), seeds, strict=True)
                )
            )
            for at in usable
        ]
        yield _comparison(chosen.metric, "", f"{len(shared)} datasets together", titles, shared)


def _usable(pairs: dict[int, Pair]) -> dict[int, Pair]:
    """The datasets on which the methods have a subject in common."""
    return {at: pair for at, pair in pairs.items() if pair.values is not None}


def _not_together(chosen: Chosen, other: int, pairs: dict[int, Pair]) -> Iterator[str]:
    """Say why there is no comparison over the datasets where there are several."""
    usable = list(_usable(pairs))
    if len(usable) < 2:
        return
    for method in (0, other):
        if not _seeds_everywhere(chosen, usable, method):
            places = "; ".join(
                f"{chosen.rows[at].title}: "
                f"{', '.join(str(one.spec.seed) for one in chosen.cells(at, method))}"
                for at in usable
            )
            yield (
                f"{chosen.columns[method].label} finished on all of these datasets with no seed "
                f"({places}), so that it is not compared over them together. Run the same --seeds "
                "on each."
            )


def _seeds_everywhere(chosen: Chosen, datasets: Sequence[int], method: int) -> set[int]:
    """The seeds with which a method finished on all of these datasets."""
    seeds = [{record.spec.seed for record in chosen.cells(at, method)} for at in datasets]
    return set.intersection(*seeds)


def _comparison(
    metric: MetricInfo, dataset: str, place: str, titles: tuple[str, str], pairs: Sequence[Pair]
) -> Comparison:
    """Compare two methods on the subjects of one or several datasets."""
    values = [pair.values for pair in pairs if pair.values is not None]
    towards = 1 if metric.better == "higher" else -1
    first, second = (
        sum(float(getattr(one, side).mean()) for one in values) / len(values)
        for side in ("first", "second")
    )
    found = paired_difference(values) if all(pair.enough for pair in pairs) else None
    ranks = None if metric.pooled else signed_rank_test(values)
    above = None if found is None else found.probability_above
    return Comparison(
        dataset=dataset,
        place=place,
        first=titles[0],
        second=titles[1],
        subjects=sum(pair.subjects for pair in pairs),
        dropped=sum(pair.dropped for pair in pairs),
        seeds=(len(values[0].first), len(values[0].second)),
        values=(first, second),
        wins=None
        if metric.pooled
        else (
            sum(int((towards * one.differences > 0).sum()) for one in values),
            sum(int((towards * one.differences < 0).sum()) for one in values),
        ),
        difference=first - second,
        interval=None if found is None else _within(found.interval, metric),
        probability=above if above is None or towards > 0 else 1 - above,
        effect=None if ranks is None else towards * ranks.effect,
        p=_p(found, ranks),
        counted=0 if ranks is None else ranks.counted,
    )


def _p(found: Difference | None, ranks: SignedRanks | None) -> float | None:
    """That of the signed-rank test; of a pooled metric, Student's t on its pseudo-values."""
    if ranks is not None:
        return ranks.p
    return None if found is None else found.p


def _within(interval: Interval, metric: MetricInfo) -> Interval:
    """An interval of differences that are possible: those of shares are in [-1, 1]."""
    limit = inf if metric.unit else 1.0
    return Interval(max(interval.low, -limit), min(interval.high, limit))


def _left_out(
    chosen: Chosen, other: Column, pairs: dict[int, Pair], apart: Container[int]
) -> Iterator[str]:
    """Say of datasets and subjects that the comparison with one method lacks."""
    both = f"{chosen.columns[0].label} and {other.label}"
    lacking = [
        row.title
        for at, row in enumerate(chosen.rows)
        if at not in apart and (at not in pairs or (pairs[at].values is None and not pairs[at].why))
    ]
    if lacking:
        yield f"{both} have no subject in common on {', '.join(lacking)}."
    yield from _too_lone(chosen, other, pairs)
    for at, pair in pairs.items():
        if pair.dropped and pair.values is not None:
            yield (
                f"{chosen.rows[at].title}: {pair.dropped} of {pair.subjects + pair.dropped} "
                f"subjects have no value of both {both}, or not with every seed, and are left out."
            )


def _too_lone(chosen: Chosen, other: Column, pairs: dict[int, Pair]) -> Iterator[str]:
    """Say where a pooled number cannot be computed anew without each subject."""
    for at, pair in pairs.items():
        if pair.values is None and pair.why:
            yield (
                f"{chosen.columns[0].label} and {other.label} are not compared on "
                f"{chosen.rows[at].title}: {pair.why}."
            )


def _about_seeds(chosen: Chosen) -> Iterator[str]:
    """Say which methods were trained once."""
    places = range(len(chosen.rows))
    seeds = [
        {record.spec.seed for place in places for record in chosen.cells(place, at)}
        for at in range(len(chosen.columns))
    ]
    single = [
        column.label for column, own in zip(chosen.columns, seeds, strict=True) if len(own) == 1
    ]
    if single:
        yield (
            f"One seed of {', '.join(single)}: how another training would come out is not in the "
            "intervals. Run with --seeds 0,1,2 to have it in."
        )
