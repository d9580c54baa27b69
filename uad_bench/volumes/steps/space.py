"""Template space: the grid of a recipe, what the template has there, and the way from SRI24.

World coordinates are in mm, RAS+: x grows to the patient's right, y to anterior, z to superior.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from uad_bench.dataset import Space
from uad_bench.kernels import compiled_or
from uad_bench.volumes.files.mni152 import brain_of, read_mni152
from uad_bench.volumes.grid import Affine, Grid
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.resample import resample

SRI24_TO_MNI152: Affine = np.array(
    [
        [1.090203, 0.009239, 0.005309, 128.276777],
        [0.012518, 1.029066, 0.225422, -143.634477],
        [0.004951, -0.233864, 1.149513, -52.609509],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""World coordinates of SRI24 (mm, RAS+) to those of MNI152: twelve numbers, computed once.

The skull-stripped T1 of SRI24 (Rohlfing et al. 2010) was registered affinely to the T1 brain of
MNI152 (ICBM 2009, as nilearn ships it) with ANTs, antspyx 0.6.3, one thread, seed 1;
``studies/sri24_to_mni152.py`` does it again. Dice of the two brain masks: 0.967.

SRI24 world is the box that BraTS headers state: x from -239 to 0, y from 0 to 239, z from 0 to
154 mm. The template's own files store the same box with other axes (LAS and RAS where BraTS is
LPS), so headers alone bring the two together and array order never matters.
"""

SRI24_TO_MNI152.flags.writeable = False

TO_MNI152: dict[Space, Affine] = {"mni152": np.eye(4), "sri24": SRI24_TO_MNI152}
"""For each space a dataset may be published in, the way to MNI152 world coordinates."""

MIN_INSIDE = 0.75
"""Least share of a scan's brain inside the template brain. BraTS and MSLUB: 0.84 to 1.00;
heads with skull: 0.50 at most; stripped but not registered (kirby21): 0."""

MIN_COVERED = 0.5
"""Least share of the template brain that a scan's brain covers. MSLUB (atrophy) and BraTS case 6
(truncated field of view): 0.58 to 0.65; other BraTS: 0.97."""

MAX_BRAIN_ML = 2800.0
"""A larger brain is a head with its skull, or has no zero background. Stripped scans here have at
most 2140 ml in MNI152 space, heads at least 3390 ml."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """How a scan's brain lies in the template brain.

    Attributes:
        inside: share of the scan's brain inside the template brain.
        covered: share of the template brain that the scan's brain covers.
        dice: Dice coefficient of the two.
        brain_ml: volume of the scan's brain in MNI152 space.
    """

    inside: float
    covered: float
    dice: float
    brain_ml: float

    @property
    def accepted(self) -> bool:
        """Whether the brain is stripped and lies where the template's does."""
        return self.inside >= MIN_INSIDE and self.covered >= MIN_COVERED and not self.has_skull

    @property
    def has_skull(self) -> bool:
        """Whether this is more than a brain can be."""
        return self.brain_ml > MAX_BRAIN_ML


@lru_cache(maxsize=1)
def _mni_brain() -> tuple[NDArray[np.bool_], Affine]:
    """The template's brain mask, 1 mm, and its affine."""
    t1, affine = read_mni152("t1")
    return brain_of(t1), affine


def _mni_tissues() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Grey and white matter inside the template's brain mask, scaled where they exceed 1."""
    brain, _ = _mni_brain()
    grey, white = (
        part.clip(0.0, 1.0) * brain for part, _ in (read_mni152("gm"), read_mni152("wm"))
    )
    excess = np.maximum(grey + white, 1.0)
    return grey / excess, white / excess


@lru_cache(maxsize=8)
def template_grid(recipe: Recipe) -> Grid:
    """Return the grid of ``recipe``: its square of pixels, centred on the template brain."""
    brain, affine = _mni_brain()
    index = np.argwhere(brain)
    corners = np.stack([index.min(axis=0), index.max(axis=0)]) @ affine[:3, :3].T + affine[:3, 3]
    low, high = corners.min(axis=0) - 0.5, corners.max(axis=0) + 0.5  # voxels of 1 mm have a size
    slices = int(np.ceil((high[2] - low[2]) / recipe.slice_mm))
    x, y = (low[:2] + high[:2] + recipe.pixel_mm * (recipe.size - 1)) / 2
    grid = np.array(
        [
            [0.0, 0.0, -recipe.pixel_mm, x],
            [0.0, -recipe.pixel_mm, 0.0, y],
            [recipe.slice_mm, 0.0, 0.0, low[2] + recipe.slice_mm / 2],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
    return Grid(grid, (slices, recipe.size, recipe.size))


@lru_cache(maxsize=4)
def template_brain(recipe: Recipe) -> NDArray[np.bool_]:
    """Return the brain mask of the MNI152 template on the grid: bool ``[Z, H, W]``, read-only."""
    brain, affine = _mni_brain()
    mask = resample(brain, affine, template_grid(recipe)) >= 0.5
    mask.flags.writeable = False
    return mask


@lru_cache(maxsize=4)
def template_tissues(recipe: Recipe) -> NDArray[np.float32]:
    """Return the template's tissue probability: float32 ``[3, Z, H, W]`` in the order CSF, GM, WM.

    Grey and white matter are nilearn's maps of ICBM 2009; CSF is what remains of the brain mask.
    The sum is at most 1, and 0 outside the brain. The array is read-only.
    """
    brain, affine = _mni_brain()
    grey, white = _mni_tissues()
    maps = np.stack([brain - grey - white, grey, white])
    grid = template_grid(recipe)
    tissues = np.stack([resample(part, affine, grid) for part in maps]).clip(0.0, 1.0)
    tissues.flags.writeable = False
    return tissues


def overlap(
    brain: NDArray[np.bool_], affine: Affine, template: NDArray[np.bool_], grid: Grid
) -> Overlap:
    """Compare a scan's brain with the template's.

    Args:
        brain: bool ``[X, Y, Z]``, not empty.
        affine: voxel of ``brain`` to MNI152 world coordinates.
        template: the template brain on ``grid``, bool ``[Z, H, W]``.
        grid: the template grid.
    """
    brain_ml = int(np.count_nonzero(brain)) * abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0
    # More of the template's voxels may have their centre in the brain than the brain has volume.
    shared = _shared(template, np.linalg.inv(affine) @ grid.affine, brain)
    shared_ml = min(shared * grid.voxel_ml, brain_ml)
    template_ml = int(np.count_nonzero(template)) * grid.voxel_ml
    return Overlap(
        inside=shared_ml / brain_ml,
        covered=shared_ml / template_ml,
        dice=2 * shared_ml / (brain_ml + template_ml),
        brain_ml=brain_ml,
    )


def _shared_by_numpy(template: NDArray[np.bool_], m: Affine, brain: NDArray[np.bool_]) -> int:
    z, y, x = np.nonzero(template)
    voxels = np.rint([row[0] * z + row[1] * y + row[2] * x + row[3] for row in m[:3]])
    size = np.array(brain.shape)[:, None]
    inside = voxels[:, ((voxels >= 0) & (voxels < size)).all(axis=0)]
    return int(np.count_nonzero(brain[tuple(inside.astype(np.int64))]))


@compiled_or(_shared_by_numpy)
def _shared(template: NDArray[np.bool_], m: Affine, brain: NDArray[np.bool_]) -> int:
    """Count the voxels of the template whose centre lies in a voxel of the brain.

    Args:
        template: ``[Z, H, W]``.
        m: index of the template to voxel of the brain.
        brain: ``[X, Y, Z]``.
    """
    shared = 0
    for z in range(template.shape[0]):
        for y in range(template.shape[1]):
            for x in range(template.shape[2]):
                if template[z, y, x]:
                    i = np.rint(m[0, 0] * z + m[0, 1] * y + m[0, 2] * x + m[0, 3])
                    j = np.rint(m[1, 0] * z + m[1, 1] * y + m[1, 2] * x + m[1, 3])
                    k = np.rint(m[2, 0] * z + m[2, 1] * y + m[2, 2] * x + m[2, 3])
                    if (
                        0 <= i < brain.shape[0]
                        and 0 <= j < brain.shape[1]
                        and 0 <= k < brain.shape[2]
                    ):
                        shared += brain[int(i), int(j), int(k)]
    return shared
