"""Mean ranks of the methods of a results folder, over the subjects that all of them have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.statistics.people import subject_means
from uad_bench.evaluation.statistics.ranking import MeanRanks, mean_ranks
from uad_bench.plugins.registry import Registry
from uad_bench.report.statistics.chosen import Chosen, Question, choose
from uad_bench.report.statistics.values import refuse_pooled
from uad_bench.report.tables.notes import people_in_words

_FEWEST = 3
"""Methods that ranks need."""

Lines = list[list[float]]
"""What the methods reached, a line per subject."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Methods with their ranks.

    Attributes:
        chosen: the cells behind the ranks: of the methods and the datasets that are ranked.
        ranks: in the order of their columns.
        notes: which datasets and subjects rank nothing, a sentence each.
    """

    chosen: Chosen
    ranks: MeanRanks
    notes: tuple[str, ...]


def ranked_methods(records: Sequence[CellRecord], registry: Registry, question: Question) -> Ranked:
    """Rank methods within each subject of each dataset.

    A supervised method that was tested on a part of a dataset, because it learned from the rest, is
    left out: with it, the others would be ranked on that part alone.

    Args:
        records: all cells of a results folder.
        registry: where their protocol and post-processing are found.
        question: three methods or more, or none for all.

    Raises:
        UadBenchError: an unknown name, a metric that single subjects do not have or that has no
            better direction, or too few methods or subjects.
    """
    chosen = _without_parts(choose(records, registry, question))
    better = chosen.metric.better
    if better is None:
        raise UadBenchError(
            f"--metric {chosen.metric.name}: neither more nor less of it is better, so it ranks no "
            "method"
        )
    done = [record for record in chosen.records if record.state == "done"]
    refuse_pooled(chosen.protocol, chosen.metric, done)
    by_dataset = [_subjects(chosen, at) for at in range(len(chosen.rows))]
    lines = [line for some, _ in by_dataset for line in some]
    ranks = mean_ranks(np.array(lines).reshape(len(lines), len(chosen.columns)), better)
    kept = tuple(at for at, (some, _) in zip(chosen.datasets, by_dataset, strict=True) if some)
    return Ranked(replace(chosen, datasets=kept), ranks, tuple(_left_out(chosen, by_dataset)))


def _without_parts(chosen: Chosen) -> Chosen:
    """The same without methods that alone were tested on a part of a dataset.

    Raises:
        UadBenchError: fewer than three methods are left of more.
    """
    places = range(len(chosen.columns))
    parts: set[int] = set()
    for at in range(len(chosen.rows)):
        there = {place for place in places if chosen.cells(at, place)}
        taught = {place for place in there if chosen.is_in_part(at, place)}
        parts |= taught if taught < there else set()
    kept = tuple(one for place, one in enumerate(chosen.methods) if place not in parts)
    if parts and len(kept) < _FEWEST:
        labels = ", ".join(chosen.columns[place].label for place in sorted(parts))
        raise UadBenchError(
            f"ranks need {_FEWEST} methods or more; not ranked, because tested on a part of a "
            f"dataset: {labels}"
        )
    return replace(chosen, methods=kept)


def _subjects(chosen: Chosen, dataset: int) -> tuple[Lines, int]:
    """What the methods reached on each subject of a dataset that all of them have.

    Returns:
        The values, and how many subjects only some of the methods have.
    """
    values: list[dict[str, list[float]]] = []
    for method in range(len(chosen.columns)):
        own: dict[str, list[float]] = {}
        for record in chosen.cells(dataset, method):
            for subject, value in subject_means(record.scans, chosen.metric.name).items():
                own.setdefault(subject, []).append(value)
        values.append(own)
    everyone = dict.fromkeys(name for own in values for name in own)
    shared = [name for name in everyone if all(name in own for own in values)]
    lines = [[round(fmean(own[name]), 12) for own in values] for name in shared]
    return lines, len(everyone) - len(shared)


def _left_out(chosen: Chosen, by_dataset: Sequence[tuple[Lines, int]]) -> Iterator[str]:
    """Say which datasets and subjects rank nothing, because not every method has them."""
    without = [
        row.title for row, (lines, _) in zip(chosen.rows, by_dataset, strict=True) if not lines
    ]
    if without:
        yield (
            f"Not ranked on {', '.join(without)}, because no subject there has "
            f"{chosen.metric.title} of every method."
        )
    for row, (lines, lost) in zip(chosen.rows, by_dataset, strict=True):
        if lines and lost:
            yield (
                f"{row.title}: {people_in_words(lost)} left out, without "
                f"{chosen.metric.title} of every method."
            )
