"""Lesion-wise counts: which lesions were found, and which findings are lesions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class LesionCounts:
    """Connected components of a prediction and of a lesion mask, counted against each other.

    Attributes:
        lesions: components of the lesion mask.
        detected: those of them that share at least one voxel with the prediction.
        findings: components of the prediction.
        true_findings: those of them that share at least one voxel with the lesion mask.
    """

    lesions: int
    detected: int
    findings: int
    true_findings: int

    @property
    def false_findings(self) -> int:
        """Predicted components that touch no lesion."""
        return self.findings - self.true_findings

    @property
    def recall(self) -> float | None:
        """Share of the lesions that were detected; ``None`` without lesions."""
        return self.detected / self.lesions if self.lesions else None

    @property
    def precision(self) -> float | None:
        """Share of the findings that are lesions.

        0 where lesions exist and nothing was found, so that silence does not pay; ``None`` where
        there is neither.
        """
        if self.findings:
            return self.true_findings / self.findings
        return 0.0 if self.lesions else None


def count_lesions(prediction: Mask, lesion: Mask) -> LesionCounts:
    """Count components with 26-neighbourhood: voxels that share a corner belong together.

    Args:
        prediction: bool ``[Z, H, W]``.
        lesion: bool ``[Z, H, W]``.
    """
    lesions, lesion_count = ndimage.label(lesion, structure=_TOUCHING)
    findings, finding_count = ndimage.label(prediction, structure=_TOUCHING)
    both = prediction & lesion
    return LesionCounts(
        lesions=int(lesion_count),
        detected=len(np.unique(lesions[both])),
        findings=int(finding_count),
        true_findings=len(np.unique(findings[both])),
    )
