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
"""The largest difference of each metric that other processors made, by what they change.

``python -m studies.processors`` measures and writes it.
"""

Kind = Literal["fixed", "phantoms", "trained"]
"""What another processor changes: arithmetic on the same scans; phantoms too, which it simulates
otherwise; or the weights of a trained network."""


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
        if all(one is None or one.value is None for one in (old, new)):
            continue  # there is no number
        unit = next(one.unit for one in (old, new) if one is not None)
        yield Number(
            then.spec,
            name,
            unit,
            None if old is None else old.value,
            None if new is None else new.value,
            tolerance(kind(then, now), name),
        )


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
