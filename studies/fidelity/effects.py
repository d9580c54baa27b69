"""Means over people and seeds, with intervals, paired differences and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values: TypeAlias = pd.DataFrame  # a row per person, a column per seed; NaN where undefined
FIXED = -1  # the only column of what no seed changes
DRAWS = 2000  # of a bootstrap
FEWEST = 4  # people a verdict needs: an interval over fewer is little more than their range


class Verdict(StrEnum):
    """What the numbers say of a claim."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over people and seeds."""

    mean: float  # over people, of their means over seeds
    low: float | None  # of the 95 % interval; `None` for fewer than two people
    high: float | None
    people: int
    seeds: int  # 0 for what no seed changes
    above: int  # people whose mean over the seeds is above 0


def arranged(parts: Mapping[int, Mapping[str, float | None]]) -> Values | None:
    """Arrange numbers by seed and person; ``None`` where there are none."""
    people = list(dict.fromkeys(person for part in parts.values() for person in part))
    if not people:
        return None
    columns = {seed: [part.get(who) for who in people] for seed, part in parts.items() if part}
    return pd.DataFrame(columns, index=people, dtype=np.float64)


def stacked(parts: Iterable[Values | None]) -> Values | None:
    """Put people of several datasets together, over the seeds that every dataset has.

    ``None`` if a part is, or if they share no seed.
    """
    found = list(parts)
    kept = [part for part in found if part is not None]
    if not kept or len(kept) < len(found) or not (seeds := _shared(kept)):
        return None
    return pd.concat([_columns(part, seeds) for part in kept])


def difference(first: Values | None, second: Values | None) -> Values | None:
    """Return ``first - second`` for every person and seed that both have.

    What no seed changes is compared with every seed of the other side. ``None`` if either is
    missing or they share nothing.
    """
    if first is None or second is None:
        return None
    people = [person for person in first.index if person in second.index]
    seeds = _shared([first, second])
    if not people or not seeds:
        return None
    return _columns(first, seeds).loc[people] - _columns(second, seeds).loc[people]


def only(values: Values | None, people: Iterable[str]) -> Values | None:
    """Return the rows of some people, ``None`` if there is none of them."""
    if values is None:
        return None
    found = values[values.index.isin(list(people))]
    return None if found.empty else found


def _shared(parts: Sequence[Values]) -> list[int]:
    """The seeds of all that have any, ascending."""
    trained = [set(map(int, part.columns)) for part in parts if FIXED not in part.columns]
    return sorted(set.intersection(*trained)) if trained else [FIXED]


def _columns(values: Values, seeds: Sequence[int]) -> Values:
    if FIXED in values.columns:
        return pd.DataFrame(dict.fromkeys(seeds, values[FIXED]))
    return values[list(seeds)]


def per_person(values: Values) -> dict[str, float]:
    """Return the mean over the seeds of each person who has a number."""
    rows = zip(values.index, values.to_numpy(), strict=True)
    return {
        who: float(np.mean(row[~np.isnan(row)])) for who, row in rows if not np.isnan(row).all()
    }


def estimate(values: Values | None) -> Estimate | None:
    """Return the mean with its bootstrap interval, or ``None`` where nothing is defined.

    Every draw takes as many people and, independently, as many seeds as there are, with
    replacement, averages each person over the drawn seeds, and then the people. The same numbers
    always give the same interval.
    """
    if values is None or not (persons := per_person(values)):
        return None
    table = values.loc[list(persons)].to_numpy()
    seeds = 0 if FIXED in values.columns else table.shape[1]
    mean, above = float(np.mean(list(persons.values()))), sum(v > 0 for v in persons.values())
    if len(table) < 2:
        return Estimate(mean, None, None, len(table), seeds, above)
    defined = ~np.isnan(table)
    by_seed = resample(table.shape[1], DRAWS, 1).astype(np.float64)
    total, count = by_seed @ np.where(defined, table, 0.0).T, by_seed @ defined.T.astype(np.float64)
    drawn = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    weight = resample(len(table), DRAWS, 0) * (count > 0)
    size = weight.sum(axis=1)
    means = np.full(DRAWS, np.nan)
    np.divide((weight * drawn).sum(axis=1), size, out=means, where=size > 0)
    low, high = np.nanpercentile(means, (2.5, 97.5))
    return Estimate(mean, float(low), float(high), len(table), seeds, above)


@cache
def resample(units: int, draws: int, seed: int) -> NDArray[np.int64]:
    """How often each unit is drawn, ``[draws, units]``; every row sums to ``units``."""
    rng = np.random.default_rng(seed)
    chance = np.full(units, 1.0 / units)
    return rng.multinomial(units, chance, size=draws).astype(np.int64, copy=False)


def verdict(found: Estimate | None, limit: float = 0.0) -> Verdict:
    """Whether a number is above a limit.

    Yes if its whole interval is, no if its whole interval is below, else unclear. Also unclear
    with fewer than :data:`FEWEST` people, and with one seed of what seeds change.
    """
    if found is None:
        return Verdict.NOT_RUN
    if found.low is None or found.high is None or found.people < FEWEST or found.seeds == 1:
        return Verdict.UNCLEAR
    if found.low > limit:
        return Verdict.YES
    return Verdict.NO if found.high < limit else Verdict.UNCLEAR


def opposite(one: Verdict) -> Verdict:
    """Return the verdict on the reverse claim."""
    return {Verdict.YES: Verdict.NO, Verdict.NO: Verdict.YES}.get(one, one)


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Yes if all are yes, no if all are no, not run if none was run, else unclear."""
    found = set(verdicts)
    return found.pop() if len(found) == 1 else Verdict.UNCLEAR
