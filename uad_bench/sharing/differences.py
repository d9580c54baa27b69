"""Numbers of then beside numbers of now, and how far apart another processor may bring them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from uad_bench.cells import CellRecord, CellSpec

TOLERANCES = Path(__file__).with_name("tolerances.json")
"""The largest difference of each metric that other processors made, by what a method learns.

``python -m studies.processors`` measures and writes it.
"""

Kind = Literal["fixed", "trained"]
"""What a method learns: nothing by steps, or a network's weights."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a cell, then and now.

    Attributes:
        cell: which.
        metric: its name.
        unit: ``""`` for a ratio, else ``mm``, ``px``, ``ml`` or ``per scan``.
        then: the archive's; ``None`` where it was undefined.
        now: this machine's.
        tolerance: how far apart another processor may bring them.
    """

    cell: CellSpec
    metric: str
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
        """Whether another processor explains the difference."""
        if not self.moved:
            return True
        return self.difference is not None and abs(self.difference) <= self.tolerance


def differences(then: CellRecord, now: CellRecord) -> Iterator[Number]:
    """Yield every number of a cell, then and now."""
    for name in dict.fromkeys((*then.metrics, *now.metrics)):
        old, new = then.metrics.get(name), now.metrics.get(name)
        unit = next(one.unit for one in (old, new) if one is not None)
        yield Number(
            then.spec,
            name,
            unit,
            None if old is None else old.value,
            None if new is None else new.value,
            tolerance(then, name),
        )


def kind(record: CellRecord) -> Kind:
    """Return what a cell's method learns."""
    return "trained" if record.fit is not None and record.fit.steps else "fixed"


@cache
def _measured() -> dict[str, dict[str, float]]:
    return dict(json.loads(TOLERANCES.read_bytes()))


def tolerance(record: CellRecord, metric: str) -> float:
    """Return how far another processor may bring a number; a metric nobody measured may not move.

    Args:
        record: the number's cell.
        metric: its name.
    """
    return _measured()[kind(record)].get(metric, 0.0)
