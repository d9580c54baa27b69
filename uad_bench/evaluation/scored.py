"""What an evaluation is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.histograms import IGNORED, LESION, LEVELS, ScoreHistogram
from uad_bench.evaluation.intervals import Interval
from uad_bench.evaluation.values import Direction, Metric, ScanScores

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredScan:
    """The scores of one scan beside its truth. Only slices that show brain are there.

    Attributes:
        subject: the person.
        session: the time point, where there are several.
        scores: uint16 ``[N, H, W]``.
        lesion: uint8 ``[N, H, W]``: 0 healthy, 1 lesion, 2 ignored.
        brain: bool ``[N, H, W]``.
        spacing: voxel size ``(z, y, x)`` in mm.
        z: int ``[N]``, rising; slices missing in between are empty.
        healthy: whether the subject is healthy. A patient whose lesions fall outside these slices
            is not.

    Raises:
        UadBenchError: if the arrays do not fit each other or ``z`` does not rise.
    """

    subject: str
    session: str | None
    scores: NDArray[np.uint16]
    lesion: NDArray[np.uint8]
    brain: Mask
    spacing: tuple[float, float, float]
    z: NDArray[np.int64]
    healthy: bool = False

    def __post_init__(self) -> None:
        shapes = {self.scores.shape, self.lesion.shape, self.brain.shape}
        if len(shapes) > 1 or self.scores.ndim != 3 or len(self.z) != len(self.scores):
            raise UadBenchError(
                f"the arrays of scan {self.name} do not fit each other: scores "
                f"{self.scores.shape}, lesion {self.lesion.shape}, brain {self.brain.shape}, "
                f"{len(self.z)} slice positions; prepare the cohort again"
            )
        if not len(self.z) or (np.diff(self.z) < 1).any():
            raise UadBenchError(
                f"the slices of scan {self.name} are missing or out of order: "
                "prepare the cohort again"
            )

    @property
    def name(self) -> str:
        """Subject and session, unique inside a cohort."""
        return self.subject if self.session is None else f"{self.subject}_{self.session}"

    @property
    def lesion_mask(self) -> Mask:
        """Lesion voxels, bool ``[N, H, W]``."""
        mask: Mask = self.lesion == LESION
        return mask

    def whole_slice_histogram(self) -> ScoreHistogram:
        """The histogram over every voxel of the slices, background included."""
        return ScoreHistogram.of(self.scores, self.lesion)

    def brain_histogram(self) -> ScoreHistogram:
        """The histogram of the scores restricted to the brain.

        Healthy voxels outside the brain are not counted. Lesion voxels outside of it are, with
        score 0, so that a brain mask that cuts a lesion off misses it instead of hiding it.
        """
        scores = np.where(self.brain, self.scores, np.uint16(0))
        return ScoreHistogram.of(scores, self.lesion, self.brain | self.lesion_mask)

    def predicted(self, threshold: int) -> Mask:
        """Voxels of the whole slices that score ``threshold`` or more and are not ignored."""
        mask: Mask = (self.scores >= threshold) & (self.lesion != IGNORED)
        return mask

    def volume(self, slices: Mask) -> Mask:
        """Lay ``slices`` ``[N, H, W]`` out in space ``[Z, H, W]``, empty where one is missing."""
        rows = self.z - self.z[0]
        if rows[-1] + 1 == len(rows):
            return slices
        volume = np.zeros((int(rows[-1]) + 1, *slices.shape[1:]), dtype=np.bool_)
        volume[rows] = slices
        return volume


ScanSource = Callable[[], Iterator[ScoredScan]]
"""Yields the scans of a cohort; each call starts again and yields the same scans."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Everything one protocol says about one detector on one cohort.

    Attributes:
        metrics: the cohort's numbers, by name.
        scans: the numbers of each scan.
        thresholds: thresholds as scores in [0, 1], by name; ``65536 / 65535`` predicts nothing.
        histograms: score histograms, keys ``SCAN/brain`` and ``SCAN/slice``.
    """

    metrics: Mapping[str, Metric]
    scans: tuple[ScanScores, ...]
    thresholds: Mapping[str, float]
    histograms: Mapping[str, ScoreHistogram]


def with_interval(
    value: float | None,
    interval: Interval | None,
    *,
    unit: str = "",
    better: Direction | None = "higher",
    target: float | None = None,
    subjects: int = 0,
    penalised: int = 0,
    skipped: int = 0,
) -> Metric:
    """A metric with its interval, where it has one."""
    return Metric(
        value=value,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        unit=unit,
        better=better,
        target=target,
        subjects=subjects,
        penalised=penalised,
        skipped=skipped,
    )


def as_score(threshold: int) -> float:
    """A threshold as a score in [0, 1]."""
    return threshold / (LEVELS - 1)
