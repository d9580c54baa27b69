"""The tissue prior: how likely each tissue is at each place of the template in healthy people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uad_bench.method import TissuePrior
from uad_bench.volumes.steps.space import template_tissues
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

MIN_SUBJECTS = 2
"""With fewer training subjects there is no variance across them, and the template serves."""


def tissue_prior(prepared: PreparedDataset) -> TissuePrior:
    """Return mean and variance of tissue probability across the training subjects of a dataset.

    A subject's scans are averaged first; where a subject has no slice, all of it is background,
    which is what an absent slice means. Mean and variance are then taken across subjects, each one
    vote. Where ``prior_subjects`` finds nobody, the maps of the MNI152 template are the mean ``p``
    and ``p (1 - p)`` is the variance.

    Args:
        prepared: the training dataset.
    """
    subjects = prior_subjects(prepared)
    if not subjects:
        maps = _with_background(template_tissues(prepared.recipe))
        return TissuePrior(maps, maps * (1.0 - maps), "MNI152 template maps (fallback)")
    total = np.zeros((4, *prepared.manifest.grid_shape), dtype=np.float64)
    squares = np.zeros_like(total)
    for scans in subjects.values():
        subject = _with_background(_subject_tissues(prepared, scans)).astype(np.float64)
        total += subject
        squares += subject * subject
    mean = total / len(subjects)
    variance = np.maximum(squares / len(subjects) - mean * mean, 0.0)
    kind = "simulated " if prepared.simulated else ""
    return TissuePrior(
        mean.astype(np.float32),
        variance.astype(np.float32),
        f"tissue maps of {len(subjects)} {kind}training subjects of {prepared.name}",
    )


def prior_subjects(prepared: PreparedDataset) -> dict[str, tuple[PreparedScan, ...]]:
    """Return the scans that the tissue prior of a dataset stands on, by subject.

    Only scans of the training split with tissue maps count. Subjects and their scans are in the
    order of their names, so that the sums over them do not depend on the dataset's order. Nobody
    where there are fewer than ``MIN_SUBJECTS``.

    Args:
        prepared: the training dataset.
    """
    subjects: dict[str, tuple[PreparedScan, ...]] = {}
    for scan in sorted(prepared.scans_of("train"), key=lambda scan: (scan.subject, scan.name)):
        if scan.has_tissue:
            subjects[scan.subject] = (*subjects.get(scan.subject, ()), scan)
    return subjects if len(subjects) >= MIN_SUBJECTS else {}


def _subject_tissues(
    prepared: PreparedDataset, scans: tuple[PreparedScan, ...]
) -> NDArray[np.float32]:
    """Return the mean of a subject's maps, float32 ``[3, Z, H, W]``."""
    maps = np.zeros((3, *prepared.manifest.grid_shape), dtype=np.float32)
    for scan in scans:
        tissue = prepared.tissue_of(scan)
        maps[:, prepared.z[scan.rows]] += np.moveaxis(tissue, 1, 0) / np.float32(255)
    return np.asarray(maps / np.float32(len(scans)), dtype=np.float32)


def _with_background(tissues: NDArray[np.float32]) -> NDArray[np.float32]:
    """Append what the three tissues leave of 1: ``[3, ...]`` to ``[4, ...]``."""
    background = (1.0 - tissues.sum(axis=0)).clip(0.0, 1.0)
    return np.concatenate([tissues, background[None]], dtype=np.float32)
