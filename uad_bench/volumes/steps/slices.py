"""From one scan's files to its slices on the template grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uad_bench.errors import ScanError
from uad_bench.evaluation.scored import slices_with_brain
from uad_bench.volumes.grid import FloatArray, Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.normalise import normalise, saturated_share
from uad_bench.volumes.steps.read import LoadedScan
from uad_bench.volumes.steps.resample import resample, resample_lesion, resample_tissues


@dataclass(frozen=True, slots=True)
class ScanSlices:
    """The slices of one scan that show brain tissue, and what became of its lesions.

    Attributes:
        image: float32 ``[n, H, W]`` in [0, 1], 0 outside the brain.
        brain: uint8 ``[n, H, W]``.
        lesion: uint8 ``[n, H, W]``: 0 healthy, 1 lesion, 2 ignored.
        tissue: uint8 ``[n, 3, H, W]``, 255 x probability, ``None`` without tissue maps.
        z: int64 ``[n]``, the template slice of each.
        lesion_ml_after: lesion volume in these slices, in ml.
        saturated_share: share of lesion voxels in the brain that are clipped at 1; ``None``
            without any.
    """

    image: FloatArray
    brain: NDArray[np.uint8]
    lesion: NDArray[np.uint8]
    tissue: NDArray[np.uint8] | None
    z: NDArray[np.int64]
    lesion_ml_after: float
    saturated_share: float | None


def slice_scan(loaded: LoadedScan, flair: Path, recipe: Recipe, grid: Grid) -> ScanSlices:
    """Resample, normalise and slice one scan.

    Args:
        loaded: the scan in template space.
        flair: its file, for messages.
        recipe: how to do it.
        grid: the template grid of ``recipe``.

    Raises:
        ScanError: when the brain has no contrast, in one line.
    """
    share = resample(loaded.brain, loaded.affine, grid)
    brain = share >= 0.5
    try:
        image = normalise(_brain_mean(loaded, share, grid), brain, recipe)
    except ScanError as error:
        raise ScanError(f"{flair}: {error}") from error
    keep = slices_with_brain(brain, grid.spacing)
    lesion = np.zeros(grid.shape, dtype=np.uint8)
    if loaded.lesion is not None:
        lesion = resample_lesion(loaded.lesion, loaded.affine, grid)
    tissue = None
    if loaded.tissues is not None:
        tissue = resample_tissues(loaded.tissues, loaded.affine, grid)[keep]
    image, brain, lesion = image[keep], brain[keep], lesion[keep]
    return ScanSlices(
        image=image,
        brain=brain.astype(np.uint8),
        lesion=lesion,
        tissue=tissue,
        z=keep,
        lesion_ml_after=int((lesion == 1).sum()) * grid.voxel_ml,
        saturated_share=saturated_share(image, brain, lesion == 1),
    )


def _brain_mean(loaded: LoadedScan, share: FloatArray, grid: Grid) -> FloatArray:
    """Return the mean over the brain's part of each voxel, so that no background darkens an edge.

    Args:
        loaded: the scan.
        share: part of each target voxel that is brain.
        grid: the template grid.
    """
    inside = share >= 0.5
    total = resample(np.where(loaded.brain, loaded.image, 0.0), loaded.affine, grid, inside)
    return np.divide(total, share, out=np.zeros_like(total), where=inside)
