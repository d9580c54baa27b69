"""Detection per patient: do patients score higher than healthy people?

A person's score is the mean over their scans of the mean of the highest 1 % of the scores in the
brain. That is as many voxels as the protocol's threshold marks in a healthy brain. The score
rises with the size of lesions and with their contrast, no single voxel decides it, it needs no
threshold, and it follows from a stored score histogram and the number of lesion voxels outside
the brain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import scipy
from numpy.typing import NDArray

from uad_bench.evaluation.scores.histograms import ScoreHistogram
from uad_bench.evaluation.scores.tally import LEVELS

TOP = 0.01
"""The share of the brain whose mean is the score."""

FALSE_ALARMS = 0.1
"""The share of healthy people that may be called patients: 1 in 10."""


@dataclass(frozen=True, slots=True)
class Person:
    """One test subject.

    Attributes:
        score: the person's score, the higher the more likely a patient.
        healthy: whether the person is healthy.
    """

    score: float
    healthy: bool


@dataclass(frozen=True, slots=True)
class Detection:
    """How well scores tell patients from healthy people.

    Attributes:
        auroc: chance that a patient scores higher than a healthy person, ties counted half.
        auprc: average precision of the patients.
        prevalence: share of patients, which a constant score has as ``auprc``.
        sensitivity: share of the patients above a score that at most 1 in 10 of these healthy
            people exceed.
        patients: number of patients.
        healthy: number of healthy people.
    """

    auroc: float
    auprc: float
    prevalence: float
    sensitivity: float
    patients: int
    healthy: int


def patient_score(brain: ScoreHistogram, outside: int = 0) -> float | None:
    """The mean of the highest 1 % of the scores in the brain, in [0, 1].

    Rounded up to whole voxels. Lesions do not matter: healthy and lesion voxels count alike.

    Args:
        brain: the scores of one scan in the brain.
        outside: how many of its voxels are lesion outside of the brain, which have score 0 and do
            not belong to the brain.

    Returns:
        The score; ``None`` without any voxel.
    """
    counts = brain.healthy.dense() + brain.lesion.dense()
    voxels = int(counts.sum()) - outside
    if not voxels:
        return None
    kept = ceil(TOP * voxels)
    above = np.cumsum(counts[::-1])[::-1] - counts
    taken = np.clip(kept - above, 0, counts)
    return float(taken @ np.arange(len(counts))) / kept / (LEVELS - 1)


def detect(people: Iterable[Person]) -> Detection | None:
    """Compare patients with healthy people; ``None`` where one of the groups is missing.

    >>> found = detect([Person(0.9, False), Person(0.4, False), Person(0.5, True)])
    >>> found.auroc, found.sensitivity
    (0.5, 0.5)
    """
    known = list(people)
    patients = np.array([one.score for one in known if not one.healthy])
    healthy = np.array([one.score for one in known if one.healthy])
    if not len(patients) or not len(healthy):
        return None
    ranks = scipy.stats.rankdata(np.concatenate([patients, healthy]))[: len(patients)]
    least = len(patients) * (len(patients) + 1) / 2
    return Detection(
        auroc=float(ranks.sum() - least) / (len(patients) * len(healthy)),
        auprc=_average_precision(patients, healthy),
        prevalence=len(patients) / len(known),
        sensitivity=float((patients > _alarm(healthy)).mean()),
        patients=len(patients),
        healthy=len(healthy),
    )


def _average_precision(patients: NDArray[np.float64], healthy: NDArray[np.float64]) -> float:
    """Mean over the patients of the precision at their own score."""
    precisions: Sequence[float] = [
        (patients >= score).sum() / ((patients >= score).sum() + (healthy >= score).sum())
        for score in patients
    ]
    return float(np.mean(precisions))


def _alarm(healthy: NDArray[np.float64]) -> float:
    """The lowest score that at most 1 in 10 healthy people exceed."""
    return float(np.sort(healthy)[::-1][floor(FALSE_ALARMS * len(healthy))])
