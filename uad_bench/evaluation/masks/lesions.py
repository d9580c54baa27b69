"""Lesions matched one to one with findings, and what a detector found and made up of them.

A lesion is a connected component of the lesion mask, a finding one of the prediction; voxels
that share a corner belong together. A finding stands for a lesion where their intersection over
union (IoU) reaches ``OVERLAP``. Each finding stands for one lesion at most and the other way
round; of all such pairings the one with the largest sum of IoU is taken, as in panoptic quality
(Kirillov et al. 2019, arXiv:1801.00868). One blob over everything is therefore one finding that
matches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod

import numpy as np
import scipy
from numpy.typing import NDArray

from uad_bench.evaluation.masks.components import Components

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

OVERLAP = 0.25
"""The least intersection over union of a pair. It is the same as a Dice of 0.4.

The 0.5 that is usual for photographs would miss a lesion of a few voxels whose outline is one
voxel off. 0.1 would let a blob over the whole brain stand for a tumour that fills a tenth of it.
"""

SIZES: dict[str, tuple[float, float]] = {
    "small": (0.0, 0.1),
    "medium": (0.1, 1.0),
    "large": (1.0, inf),
}
"""Classes of lesion volume in ml: from the first number on, below the second."""

Volumes = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LesionMatch:
    """Lesions and findings of one scan, paired one to one.

    Attributes:
        volumes: float64 ``[L]``, the volume of each lesion in ml.
        overlaps: float64 ``[L]``, the IoU of each lesion with its finding; 0 where it has none.
        findings: how many findings there are, matched or not.
    """

    volumes: Volumes
    overlaps: NDArray[np.float64]
    findings: int

    @property
    def lesions(self) -> int:
        """How many lesions there are, matched or not."""
        return len(self.volumes)

    @property
    def matched(self) -> int:
        """Pairs of a lesion and a finding."""
        return int((self.overlaps > 0).sum())

    @property
    def false_findings(self) -> int:
        """Findings that stand for no lesion."""
        return self.findings - self.matched

    @property
    def f1(self) -> float | None:
        """``2 TP / (2 TP + FP + FN)`` over lesions and findings; ``None`` without lesions."""
        return self._per_pair(2.0 * self.matched)

    @property
    def panoptic_quality(self) -> float | None:
        """``sum of IoU / (TP + FP / 2 + FN / 2)``; ``None`` without lesions."""
        return self._per_pair(2.0 * float(self.overlaps.sum()))

    def recall(self, least: float = 0.0, below: float = inf) -> float | None:
        """Share of the lesions of one size that are matched; ``None`` without such lesions.

        Args:
            least: smallest volume in ml.
            below: volume in ml that is too large.
        """
        chosen = (self.volumes >= least) & (self.volumes < below)
        return float((self.overlaps[chosen] > 0).mean()) if chosen.any() else None

    def _per_pair(self, doubled: float) -> float | None:
        # 2 TP + FP + FN is the number of lesions and findings together.
        return doubled / (self.lesions + self.findings) if self.lesions else None


def match_lesions(prediction: Mask, lesion: Mask, spacing: Spacing) -> LesionMatch:
    """Pair the lesions of a scan with the findings of a prediction.

    Args:
        prediction: bool ``[Z, H, W]``.
        lesion: bool ``[Z, H, W]``.
        spacing: voxel size ``(z, y, x)`` in mm.

    >>> import numpy as np
    >>> lesion = np.zeros((3, 8, 8), bool)
    >>> lesion[1, 1:3, 1:3] = lesion[1, 5:7, 5:7] = True
    >>> found = match_lesions(lesion & (np.arange(8) < 4), lesion, (1.0, 1.0, 1.0))
    >>> found.lesions, found.matched, found.false_findings, found.recall()
    (2, 1, 0, 0.5)
    """
    lesions, findings = Components.of(lesion), Components.of(prediction)
    lesion_of, finding_of, voxels = lesions.shared(findings).T
    shared = scipy.sparse.coo_array(
        (voxels, (lesion_of, finding_of)), shape=(len(lesions.sizes), len(findings.sizes))
    )
    shared.sum_duplicates()
    return LesionMatch(
        volumes=np.multiply(lesions.sizes, prod(spacing) / 1000.0, dtype=np.float64),
        overlaps=_paired(shared, lesions.sizes, findings.sizes),
        findings=len(findings.sizes),
    )


def _paired(
    shared: scipy.sparse.coo_array, lesions: NDArray[np.int64], findings: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The IoU of each lesion with the finding it is paired with, 0 where it is with none.

    Args:
        shared: int ``[L, F]``, voxels that a lesion and a finding share.
        lesions: int ``[L]``, voxels of each lesion.
        findings: int ``[F]``, voxels of each finding.
    """
    iou = shared.data / (lesions[shared.row] + findings[shared.col] - shared.data)
    near = iou >= OVERLAP
    iou, row, column = iou[near], shared.row[near], shared.col[near]
    best = np.zeros(len(lesions))
    alone = (np.bincount(row)[row] == 1) & (np.bincount(column)[column] == 1)
    best[row[alone]] = iou[alone]
    # The others compete, so the pairing with the largest sum is searched among them.
    rows, row_at = np.unique(row[~alone], return_inverse=True)
    columns, column_at = np.unique(column[~alone], return_inverse=True)
    table = np.zeros((len(rows), len(columns)))
    table[row_at, column_at] = iou[~alone]
    chosen = scipy.optimize.linear_sum_assignment(table, maximize=True)
    best[rows[chosen[0]]] = table[chosen]
    return best
