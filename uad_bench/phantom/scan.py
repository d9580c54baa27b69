"""What a phantom is: the arrays of one simulated scan on one grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uad_bench.dataset import Split


@dataclass(frozen=True, slots=True)
class PhantomScan:
    """One simulated, skull-stripped FLAIR in MNI152 space.

    Attributes:
        subject: running number of the subject in its dataset, from 1.
        session: running number of the time point, from 1, ``None`` for a single one.
        split: the part of the protocol it belongs to.
        flair: float32 ``[X, Y, Z]``, arbitrary scanner units, 0 outside the brain.
        lesion: uint8 ``[X, Y, Z]``; for tumours 1 core, 2 oedema, 4 enhancing rim, as BraTS has
            them; for WMH 1 lesion, 2 other pathology; 1 elsewhere.
        second_lesion: a second rater's mask, for datasets that have two.
        brain: uint8 ``[X, Y, Z]``.
        tissues: uint8 ``[X, Y, Z]``: 1 CSF, 2 GM, 3 WM, 0 background.
        affine: float64 ``[4, 4]``, voxel to MNI152 world coordinates in mm (RAS+).
        site: name of the scanner, where the dataset has several.
        healthy: whether it shows a person without the disease.
    """

    subject: int
    flair: NDArray[np.float32]
    lesion: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    tissues: NDArray[np.uint8]
    affine: NDArray[np.float64]
    split: Split = "test"
    session: int | None = None
    second_lesion: NDArray[np.uint8] | None = None
    site: str | None = None
    healthy: bool = False
