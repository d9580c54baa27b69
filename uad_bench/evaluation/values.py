"""What an evaluation says in numbers: metrics of a dataset, and the scores of one scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of a dataset.

    Attributes:
        value: the number; ``None`` where it is undefined (no subject has one).
        low: lower end of the 95 % interval over subjects, where one can be had.
        high: upper end of it.
        unit: ``""`` for a ratio, else ``mm``, ``px``, ``ml`` or ``per scan``.
        better: which direction is better; ``None`` where neither is.
        target: the value that is best, where it is neither the highest nor the lowest.
        subjects: how many subjects it is a mean over (0: pooled over voxels).
        penalised: scans with lesions that entered with the penalty of an empty prediction.
        skipped: scans for which it is undefined and which were left out.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    better: Direction | None = "higher"
    target: float | None = None
    subjects: int = 0
    penalised: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanScores:
    """The metrics of one scan; ``None`` where one is undefined for it.

    Attributes:
        subject: the person.
        session: the time point, where there are several.
        metrics: the numbers, by name.
    """

    subject: str
    session: str | None = None
    metrics: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """Subject and session, unique inside a dataset."""
        return self.subject if self.session is None else f"{self.subject}_{self.session}"
