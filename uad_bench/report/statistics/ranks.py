"""Mean ranks of the methods of a results folder, over the subjects that all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from uad_bench.cells import CellRecord
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.statistics.people import subject_means
from uad_bench.evaluation.statistics.ranking import MeanRanks, mean_ranks
from uad_bench.plugins.registry import Registry
from uad_bench.report.statistics.chosen import Chosen, Question, choose
from uad_bench.report.statistics.values import refuse_pooled


def ranked_methods(
    records: Sequence[CellRecord], registry: Registry, question: Question
) -> tuple[Chosen, MeanRanks]:
    """Rank methods within each subject of each dataset.

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
    chosen = choose(records, registry, question)
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
