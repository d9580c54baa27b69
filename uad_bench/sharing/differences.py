"""Numbers of then beside numbers of now, and how far apart another processor may bring them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from uad_bench.cells import CellRecord, CellSpec, DatasetUse
from uad_bench.evaluation.statistics.intervals import Interval, Scale, reach_of_ends
from uad_bench.evaluation.values import Metric

TOLERANCES = Path(__file__).with_name("tolerances.json")
"""The largest difference of each metric that other processors made, by what they change.

``python -m studies.processors`` measures and writes it.
"""

Kind = Literal["fixed", "phantoms", "trained"]
"""What another processor changes: arithmetic on the same scans; phantoms too, which it simulates
otherwise; or the weights of a trained network."""


Part = Literal["value", "low", "high"]
"""A number itself, or an end of its interval."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a cell, then and now.

    Attributes:
        cell: which.
        metric: its name.
        part: whether it is the metric itself, or an end of its interval.
        unit: ``""`` for a ratio, else ``mm``, ``px``, ``ml`` or ``per scan``.
        then: the archive's; ``None`` where it was undefined.
        now: this machine's.
        tolerance: how far apart another processor may bring them.
    """

    cell: CellSpec
    metric: str
    part: Part
    unit: str
    then: float | None
    now: float | None
    tolerance: float

    @property
    def moved(self) -> bool:
        """Whether it is another number now, in any digit."""
        return self.then != self.now

    @property
    def difference(self) -> float | None:
        """Now minus then; ``None`` where only one of them is defined."""
        return None if self.then is None or self.now is None else self.now - self.then

    @property
    def within(self) -> bool:
        """Whether another processor explains the difference.

        Subjects that all have the same value have no interval, and have one once one moves.
        """
        if not self.moved:
            return True
        if self.difference is None:
            return self.part != "value" and self.tolerance > 0
        return abs(self.difference) <= self.tolerance


def differences(then: CellRecord, now: CellRecord) -> Iterator[Number]:
    """Yield every number of a cell and the ends of its interval, then and now."""
    for name in dict.fromkeys((*then.metrics, *now.metrics)):
        old, new = then.metrics.get(name), now.metrics.get(name)
        if all(one is None or one.value is None for one in (old, new)):
            continue  # there is no number
        known = next(one for one in (old, new) if one is not None)
        by = tolerance(kind(then, now), name)
        low, high = _of_ends(known, then.data, by)
        reaches: dict[Part, float] = {"value": by, "low": low, "high": high}
        for part, reach in reaches.items():
            before, after = getattr(old, part, None), getattr(new, part, None)
            if part == "value" or before is not None or after is not None:
                yield Number(then.spec, name, part, known.unit, before, after, reach)


def _of_ends(metric: Metric, data: DatasetUse | None, by: float) -> tuple[float, float]:
    """How far the ends of a metric's interval may move where the metric may move by ``by``."""
    if metric.value is None or metric.low is None or metric.high is None:
        return by, by
    subjects = metric.subjects or (0 if data is None else data.subjects)
    scale: Scale = "amount" if metric.unit else "share"
    return reach_of_ends(metric.value, Interval(metric.low, metric.high), subjects, scale, by)


def kind(then: CellRecord, now: CellRecord) -> Kind:
    """Return what another processor changes in a cell."""
    if then.fit is not None and then.fit.steps:
        return "trained"
    same = (then.training, then.data) == (now.training, now.data)
    return "fixed" if same else "phantoms"


@cache
def _measured() -> dict[str, dict[str, float]]:
    return dict(json.loads(TOLERANCES.read_bytes()))


def tolerance(changed: Kind, metric: str) -> float:
    """Return how far another processor may bring a number; a metric nobody measured may not move.

    Args:
        changed: what is another there.
        metric: the number's name.
    """
    return _measured()[changed].get(metric, 0.0)
