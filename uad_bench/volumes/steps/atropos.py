"""Tissue maps of a healthy scan from its FLAIR: fluid by intensity, grey and white by Atropos.

``docs/studies/tissue-maps.md`` has the measurements behind what Atropos is given.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uad_bench.errors import ScanError
from uad_bench.system.disk import writing
from uad_bench.volumes.grid import Affine, FloatArray
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.register import load_ants
from uad_bench.volumes.steps.space import template_grid, template_tissues
from uad_bench.volumes.steps.tissue_maps import TISSUES

MIN_TISSUE = 0.01
"""Least part of the brain that each tissue found in a FLAIR must have."""

_LEAST_FLUID = 0.4
"""Less than this share of fluid is noise, bias, or the difference between grey and white matter: on
a real 3T scan, a quarter would call 12 % of the deep brain part fluid, this calls 3 % so."""
_BRIGHT = 0.75
"""Interquartile ranges above the upper quartile of the solid voxels at which intensities are cut
(5 % of a normal distribution lie above), or lesions would widen the white matter's distribution
beyond the grey matter's."""
_TEMPLATE_MM = 1.5
"""Voxels on which the template's maps are smoothed, by one voxel: what an affine may miss by."""
_FLOOR = 0.01
"""Keeps grey and white matter possible where the template has neither."""
_PRIOR_WEIGHT = 0.25
"""The exponent of the template in the posterior; 0 would only start from it."""


def segment_tissues(image: FloatArray, brain: NDArray[np.bool_], affine: Affine) -> FloatArray:
    """Segment a healthy FLAIR into CSF, GM and WM, the last two by Atropos.

    Fluid is dark on FLAIR: its share of a voxel follows from the voxel's intensity between those
    of fluid and brain. Grey and white matter differ little, so Atropos (Avants et al.,
    Neuroinformatics 9, 2011), which separates them in the other voxels, starts from the template's
    maps and is held to them. Where a voxel is part fluid, its intensity says nothing about the
    rest, and the template decides. No random numbers: the same scan gives the same shares,
    from any number of threads.

    Args:
        image: float32 ``[X, Y, Z]``, finite, in any units, after bias correction.
        brain: bool, the same shape.
        affine: voxel to MNI152 world coordinates in mm, of a registered scan.

    Returns:
        float32 ``[3, X, Y, Z]``: CSF, GM, WM; their sum is 1 in the brain and 0 outside.

    Raises:
        ScanError: an image in which three tissues are not found.
        UadBenchError: where ANTs is not installed.
    """
    load_ants()  # or a registration after this one would not repeat
    from ants.internal import get_lib_fn

    if not brain.any():
        raise ScanError("the brain mask is empty, so there are no tissues; give another mask")
    box = ndimage.find_objects(brain.astype(np.int8))[0]
    inside = brain[box]
    corner = affine.copy()
    corner[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    fluid = _fluid(image[box], inside)
    solid = inside & (fluid == 0.0)
    grey = _template_grey(solid.shape, corner)
    lower, upper = np.percentile(image[box][solid], (25, 75))
    bright = upper + _BRIGHT * (upper - lower)
    grey[solid] = _atropos(get_lib_fn("Atropos"), image[box].clip(max=bright), solid, grey, affine)
    found = np.stack([fluid, (1.0 - fluid) * grey, (1.0 - fluid) * (1.0 - grey)]) * inside
    parts = found.sum(axis=(1, 2, 3)) / inside.sum()
    if not (parts >= MIN_TISSUE).all():
        listed = ", ".join(
            f"{t.upper()} {part:.1%}" for t, part in zip(TISSUES, parts, strict=True)
        )
        raise ScanError(
            f"Atropos found {listed} of the brain, which is no brain's; check the FLAIR's contrast "
            "and registration"
        )
    shares = np.zeros((3, *brain.shape), dtype=np.float32)
    shares[(slice(None), *box)] = found
    return shares


def _fluid(image: FloatArray, brain: NDArray[np.bool_]) -> FloatArray:
    """Return the share of fluid in each voxel, linear in its intensity: float32 ``[X, Y, Z]``."""
    values = image[brain].astype(np.float64)
    low, middle = np.percentile(values, (1, 50))
    if not middle > low:
        raise ScanError("the brain has no contrast, so there are no tissues; check the FLAIR")
    is_dark = values < (low + middle) / 2
    dark, bright = float(values[is_dark].mean()), float(np.median(values[~is_dark]))
    share = ((bright - image) / (bright - dark)).clip(0.0, 1.0)
    return np.where(share < _LEAST_FLUID, 0.0, share).astype(np.float32)


def _template_grey(shape: tuple[int, ...], affine: Affine) -> FloatArray:
    """Return how much of what is not fluid the template has as grey matter: ``[X, Y, Z]``."""
    recipe = Recipe(pixel_mm=_TEMPLATE_MM, slice_mm=_TEMPLATE_MM)
    pull = np.linalg.inv(template_grid(recipe).affine) @ affine
    grey, white = (
        ndimage.affine_transform(
            ndimage.gaussian_filter(part, 1.0), pull[:3, :3], pull[:3, 3], shape, order=1
        )
        for part in template_tissues(recipe)[1:]
    )
    return np.asarray((grey + _FLOOR) / (grey + white + 2 * _FLOOR), dtype=np.float32)


def _atropos(
    program: Callable[[list[str]], int],
    image: FloatArray,
    solid: NDArray[np.bool_],
    grey: FloatArray,
    affine: Affine,
) -> FloatArray:
    """Return the posterior of grey against white matter in the voxels of ``solid``: ``[n]``.

    Atropos is run by its own command line, for ``ants.atropos`` leaves files behind.

    Args:
        program: Atropos.
        image: float32 ``[X, Y, Z]``.
        solid: bool, the voxels that are grey or white matter.
        grey: the prior of grey matter.
        affine: voxel to world, for the voxels' size.
    """
    # Places mean nothing to Atropos, and ITK refuses the shear that a registered scan's affine has.
    frame = np.diag([*np.linalg.norm(affine[:3, :3], axis=0), 1.0])
    with tempfile.TemporaryDirectory(prefix="uad-bench-") as name:
        folder = Path(name)
        inputs = {"flair": image, "solid": solid.astype(np.uint8), "1": grey, "2": 1.0 - grey}
        for stem, data in inputs.items():
            file = folder / f"{stem}.nii"
            with writing(file):
                nib.save(nib.Nifti1Image(data, frame), file)
        options = {
            "-d": "3",
            "-a": f"{folder}/flair.nii",
            "-x": f"{folder}/solid.nii",
            "-i": f"PriorProbabilityImages[2,{folder}/%d.nii,{_PRIOR_WEIGHT}]",
            "-m": "[0.1,1x1x1]",
            "-c": "[3,0]",
            "-r": "0",
            "-o": f"[{folder}/labels.nii,{folder}/posterior%d.nii]",
        }
        status = program([word for option in options.items() for word in option])
        if status != 0:
            raise ScanError(f"Atropos failed with status {status}; check the FLAIR and its mask")
        found, other = (
            nib.load(folder / f"posterior{k}.nii").get_fdata(dtype=np.float32)[solid]
            for k in (1, 2)
        )
    total = found + other
    if not (np.isfinite(total).all() and (total > 0.0).all()):
        raise ScanError("Atropos found no two tissues in the brain; check the FLAIR's contrast")
    return np.asarray(found / total, dtype=np.float32)
