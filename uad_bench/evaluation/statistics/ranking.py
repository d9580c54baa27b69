"""Several methods on the same subjects: mean ranks, Friedman's test and Nemenyi's difference."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
import scipy
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.values import Direction


@dataclass(frozen=True, slots=True)
class MeanRanks:
    """How several methods rank over subjects (Demsar 2006, section 3.2).

    Attributes:
        ranks: the mean rank of each method; 1 is the best.
        p: the p-value of Friedman's test that all are equally good.
        critical: two mean ranks that are closer than this are not shown to differ, at 5 %
            (Nemenyi).
        subjects: how many subjects rank them.
    """

    ranks: tuple[float, ...]
    p: float
    critical: float
    subjects: int

    @property
    def alike(self) -> tuple[tuple[float, float], ...]:
        """The longest runs of ranks that are not shown to differ, from the best to the worst."""
        if self.p > 0.05:
            return ((min(self.ranks), max(self.ranks)),)
        runs: list[tuple[float, float]] = []
        for first in sorted(set(self.ranks)):
            last = max(rank for rank in self.ranks if rank - first < self.critical)
            joins = self.ranks.count(first) > 1 or last > first
            if joins and (not runs or last > runs[-1][1]):
                runs.append((first, last))
        return tuple(runs)


def mean_ranks(values: NDArray[np.float64], better: Direction) -> MeanRanks:
    """Rank methods subject by subject; ties get mid-ranks.

    Args:
        values: float64 ``[subjects, methods]`` without NaN.
        better: which direction is better.

    Raises:
        UadBenchError: fewer than three methods, or fewer than two subjects.

    Examples:
        >>> import numpy as np
        >>> mean_ranks(np.array([[0.9, 0.5, 0.1], [0.8, 0.4, 0.4]]), "higher").ranks
        (1.0, 2.25, 2.75)
    """
    subjects, methods = values.shape
    if methods < 3 or subjects < 2:
        raise UadBenchError(
            f"ranks need three methods or more and two subjects or more that all of them have; "
            f"there are {methods} and {subjects}: compare two methods with `uad-bench compare`"
        )
    ranks = scipy.stats.rankdata(-values if better == "higher" else values, axis=1)
    tied = (ranks == ranks[0, 0]).all()
    p = 1.0 if tied else float(scipy.stats.friedmanchisquare(*ranks.T).pvalue)
    studentised = float(scipy.stats.studentized_range.ppf(0.95, methods, inf))
    critical = studentised / sqrt(2) * sqrt(methods * (methods + 1) / (6 * subjects))
    return MeanRanks(tuple(ranks.mean(axis=0).tolist()), p, critical, subjects)
