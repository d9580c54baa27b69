"""Means over people and seeds, with intervals, paired differences and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
"""Bootstrap draws of an interval."""

FEWEST = 4
"""People a verdict needs: an interval over fewer is little more than their smallest and largest."""


class Verdict(StrEnum):
    """What the numbers say of a claim."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One number per person and seed.

    Attributes:
        people: names, unique.
        seeds: ``None`` for what no seed changes; ``table`` then has one column.
        table: float64 ``[people, seeds]``; NaN where the number is not defined.
    """

    people: tuple[str, ...]
    seeds: tuple[int, ...] | None
    table: NDArray[np.float64]

    @property
    def per_person(self) -> dict[str, float]:
        """Mean over the seeds of each person who has a number."""
        return {
            person: float(np.mean(row[~np.isnan(row)]))
            for person, row in zip(self.people, self.table, strict=True)
            if not np.isnan(row).all()
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over people and seeds.

    Attributes:
        mean: mean over people of their means over seeds.
        low: lower end of the 95 % interval; ``None`` for fewer than two people.
        high: its upper end.
        people: how many.
        seeds: how many; 0 for what no seed changes.
        above: people whose mean over the seeds is above 0.
    """

    mean: float
    low: float | None
    high: float | None
    people: int
    seeds: int
    above: int


def combined(
    parts: Mapping[int | None, Mapping[str, float | None]],
) -> Values | None:
    """Arrange numbers by seed (``None``: no seed) and person; ``None`` where there are none."""
    people = tuple(dict.fromkeys(person for part in parts.values() for person in part))
    if not people:
        return None
    rows = [[_number(part.get(person)) for part in parts.values()] for person in people]
    seeds = None if None in parts else tuple(seed for seed in parts if seed is not None)
    return Values(people, seeds, np.array(rows, dtype=np.float64))


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def stacked(parts: Iterable[Values | None]) -> Values | None:
    """Put people of several datasets together, over the seeds that every dataset has.

    ``None`` if a part is, or if they share no seed.
    """
    found = list(parts)
    kept = [part for part in found if part is not None]
    if not kept or len(kept) < len(found):
        return None
    seeds = _shared([part.seeds for part in kept])
    if seeds == ():
        return None
    return Values(
        tuple(person for part in kept for person in part.people),
        seeds,
        np.concatenate([_columns(part, seeds) for part in kept]),
    )


def difference(first: Values | None, second: Values | None) -> Values | None:
    """Return ``first - second`` for every person and seed that both have.

    What no seed changes is compared with every seed of the other side. ``None`` if either is
    missing or they share nothing.
    """
    if first is None or second is None:
        return None
    people = tuple(person for person in first.people if person in second.people)
    seeds = _shared([first.seeds, second.seeds])
    if not people or seeds == ():
        return None
    rows = [[one.people.index(person) for person in people] for one in (first, second)]
    left, right = _columns(first, seeds)[rows[0]], _columns(second, seeds)[rows[1]]
    return Values(people, seeds, left - right)


def only(values: Values | None, people: Sequence[str]) -> Values | None:
    """Return the rows of some people, ``None`` if there is none of them."""
    if values is None:
        return None
    rows = [at for at, person in enumerate(values.people) if person in people]
    if not rows:
        return None
    return Values(tuple(values.people[at] for at in rows), values.seeds, values.table[rows])


def _shared(seeds: Sequence[tuple[int, ...] | None]) -> tuple[int, ...] | None:
    """The seeds of all who have any, ascending; ``None`` if nobody has."""
    trained = [set(one) for one in seeds if one is not None]
    return tuple(sorted(set.intersection(*trained))) if trained else None


def _columns(values: Values, seeds: tuple[int, ...] | None) -> NDArray[np.float64]:
    if seeds is None:
        return values.table
    if values.seeds is None:
        return np.repeat(values.table, len(seeds), axis=1)
    return values.table[:, [values.seeds.index(seed) for seed in seeds]]


def estimate(values: Values | None) -> Estimate | None:
    """Return the mean with its bootstrap interval, or ``None`` where nothing is defined.

    Every draw takes as many people and, independently, as many seeds as there are, with
    replacement, averages each person over the drawn seeds, and then the people. The same numbers
    always give the same interval.
    """
    if values is None or np.isnan(values.table).all():
        return None
    persons = values.per_person
    table = values.table[[person in persons for person in values.people]]
    seeds = 0 if values.seeds is None else len(values.seeds)
    mean = float(np.mean(list(persons.values())))
    above = sum(value > 0 for value in persons.values())
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
