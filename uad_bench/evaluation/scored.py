"""What an evaluation is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.histograms import IGNORED, LESION, ScoreHistogram
from uad_bench.evaluation.scores.tally import LEVELS, Tally
from uad_bench.evaluation.stack import stacked
from uad_bench.evaluation.values import Metric, ScanScores

Mask = NDArray[np.bool_]

MIN_BRAIN_MM2 = 100.0
"""A slice shows brain, and counts, where at least this area of it is brain."""


def slices_with_brain(brain: Mask, spacing: tuple[float, float, float]) -> NDArray[np.int64]:
    """The slices of ``[Z, H, W]`` that show brain: at least 1 cm2 of it.

    Args:
        brain: bool ``[Z, H, W]``.
        spacing: voxel size ``(z, y, x)`` in mm.
    """
    _, height, width = spacing
    area = brain.sum(axis=(1, 2)) * (height * width)
    return np.flatnonzero(area >= MIN_BRAIN_MM2).astype(np.int64)


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
                f"{len(self.z)} slice positions; prepare the dataset again"
            )
        if not len(self.z) or (np.diff(self.z) < 1).any():
            raise UadBenchError(
                f"the slices of scan {self.name} are missing or out of order: "
                "prepare the dataset again"
            )

    @property
    def name(self) -> str:
        """Subject and session, unique inside a dataset."""
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
        found = ScoreHistogram.of(self.scores, self.lesion, self.brain)
        lesion = found.lesion.dense()
        lesion[0] += np.count_nonzero(self.lesion_mask & ~self.brain)
        return ScoreHistogram(found.healthy, Tally.of(lesion))

    def predicted(self, threshold: int) -> Mask:
        """Voxels of the whole slices that score ``threshold`` or more and are not ignored."""
        mask: Mask = (self.scores >= threshold) & (self.lesion != IGNORED)
        return mask

    def volume(self, slices: Mask) -> Mask:
        """Lay ``slices`` ``[N, H, W]`` out in space ``[Z, H, W]``, empty where one is missing."""
        return stacked(slices, self.z)


ScanSource = Callable[[], Iterator[ScoredScan]]
"""Yields the scans of a dataset; each call starts again and yields the same scans."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredScan:
    """What a protocol says of one scan by itself. That of any scan can come from any process.

    Attributes:
        scores: the numbers that need no other scan.
        histograms: score histograms by domain, such as ``brain``. A run keeps those of all scans in
            a file, and each use of one reads it: use one at a time, and keep none.
        healthy: whether the subject is healthy.
        penalised: the metrics that entered with the penalty of an empty prediction.
    """

    scores: ScanScores
    histograms: Mapping[str, ScoreHistogram] = field(repr=False)
    healthy: bool = False
    penalised: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Subject and session, unique inside a dataset."""
        return self.scores.name


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Everything one protocol says about one detector on one dataset.

    Attributes:
        metrics: the dataset's numbers, by name.
        scans: the numbers of each scan.
        thresholds: thresholds as scores in [0, 1], by name; ``65536 / 65535`` predicts nothing.
        histograms: score histograms, keys ``SCAN/brain`` and ``SCAN/slice``.
        missing: why a metric has no value, by name.
    """

    metrics: Mapping[str, Metric]
    scans: tuple[ScanScores, ...]
    thresholds: Mapping[str, float]
    histograms: Mapping[str, ScoreHistogram] = field(repr=False)
    missing: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line per metric: value, interval, and why there is none; then the reasons."""
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *self._reasons()])

    def _repr_html_(self) -> str:
        """The same as a table in a notebook."""
        head, *rows = self._rows()
        lines = [f"<tr>{''.join(f'<th>{escape(text)}</th>' for text in head)}</tr>"]
        lines += [f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows]
        notes = "".join(f"<p>{escape(text)}</p>" for text in self._reasons())
        return f"<table>{''.join(lines)}</table>{notes}"

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = [("metric", "value", "unit", "95 % interval")]
        for name, metric in self.metrics.items():
            value = "n/a" if metric.value is None else f"{metric.value:.4g}"
            bounded = metric.low is not None and metric.high is not None
            interval = f"{metric.low:.4g} to {metric.high:.4g}" if bounded else ""
            rows.append((name, value, metric.unit, interval))
        return rows

    def _reasons(self) -> list[str]:
        names: dict[str, list[str]] = {}
        for name, reason in self.missing.items():
            names.setdefault(reason, []).append(name)
        return [f"n/a: {', '.join(some)}: {reason}" for reason, some in names.items()]


class _Named(Mapping[str, ScoreHistogram]):
    """Histograms of scans by scan and domain; none is read before it is asked for."""

    def __init__(self, scans: Iterable[MeasuredScan]) -> None:
        self._places = {
            f"{scan.name}/{domain}": (scan.histograms, domain)
            for scan in scans
            for domain in scan.histograms
        }

    def __getitem__(self, name: str) -> ScoreHistogram:
        histograms, domain = self._places[name]
        return histograms[domain]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def named_histograms(scans: Iterable[MeasuredScan]) -> Mapping[str, ScoreHistogram]:
    """The histograms of scans as an :class:`Evaluation` names them."""
    return _Named(scans)


def as_score(threshold: int) -> float:
    """A threshold as a score in [0, 1]."""
    return threshold / (LEVELS - 1)
