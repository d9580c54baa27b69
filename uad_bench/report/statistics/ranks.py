"""Mean ranks of the methods of a results folder, over the subjects that all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.statistics.people import subject_means
from uad_bench.evaluation.statistics.ranking import MeanRanks, mean_ranks
from uad_bench.plugins.registry import Registry
from uad_bench.report.statistics.chosen import Chosen, Question, choose
from uad_bench.report.statistics.values import refuse_pooled

_FEWEST = 3
"""Methods that ranks need."""


def ranked_methods(
    records: Sequence[CellRecord], registry: Registry, question: Question
) -> tuple[Chosen, MeanRanks]:
    """Rank methods within each subject of each dataset.

    A supervised method that was tested on a part of a dataset, because it learned from the rest, is
    left out: with it, the others would be ranked on that part alone.

    Args:
        records: all cells of a results folder.
        registry: where their protocol and post-processing are found.
        question: three methods or more, or none for all.

    Returns:
        The cells behind the ranks, and the ranks in the order of their columns.

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
    lines = [line for at in range(len(chosen.rows)) for line in _subjects(chosen, at)]
    return chosen, mean_ranks(np.array(lines).reshape(len(lines), len(chosen.columns)), better)


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


def _subjects(chosen: Chosen, dataset: int) -> list[list[float]]:
    """What the methods reached on each subject of a dataset that all of them have."""
    values: list[dict[str, list[float]]] = []
    for method in range(len(chosen.columns)):
        own: dict[str, list[float]] = {}
        for record in chosen.cells(dataset, method):
            for subject, value in subject_means(record.scans, chosen.metric.name).items():
                own.setdefault(subject, []).append(value)
        values.append(own)
    shared = [name for name in values[0] if all(name in own for own in values)]
    return [[round(fmean(own[name]), 12) for own in values] for name in shared]
