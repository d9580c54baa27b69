"""How the twelve numbers of ``uad_bench.volumes.steps.space.SRI24_TO_MNI152`` were computed.

Registers the skull-stripped T1 of the SRI24 template (Rohlfing et al. 2010) affinely to the
MNI152 brain that nilearn ships, with ANTs (``pip install antspyx``), and prints the matrix from
SRI24 to MNI152 world coordinates (mm, RAS+) with the overlap it reaches.

    python -m studies.sri24_to_mni152 FOLDER_OF_SRI24
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"  # sums in one order: the same bits

import ants
import nibabel as nib
import numpy as np
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)
from numpy.typing import NDArray
from scipy import ndimage

SEED = 1
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def squeezed(path: Path) -> nib.Nifti1Image:
    """The volume without its trailing axis of length 1."""
    image = nib.load(path)
    return nib.Nifti1Image(np.asarray(image.dataobj).reshape(image.shape[:3]), image.affine)


def ants_image(image: nib.Nifti1Image, folder: Path, name: str) -> ants.ANTsImage:
    """Hand a volume to ANTs through a file, so that ITK reads the orientation itself."""
    path = folder / f"{name}.nii.gz"
    nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine), path)
    return ants.image_read(str(path))


def register(moving: nib.Nifti1Image, fixed: nib.Nifti1Image) -> NDArray[np.float64]:
    """World coordinates (RAS+) of ``moving`` to those of ``fixed``, as a 4x4 matrix."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = ants.registration(
            ants_image(fixed, folder, "fixed"),
            ants_image(moving, folder, "moving"),
            type_of_transform="Affine",
            random_seed=SEED,
            outprefix=str(folder / "affine_"),
        )
        transform = ants.read_transform(result["fwdtransforms"][0])
    linear = np.asarray(transform.parameters[:9]).reshape(3, 3)
    centre = np.asarray(transform.fixed_parameters)
    fixed_to_moving = np.eye(4)
    fixed_to_moving[:3, :3] = linear
    fixed_to_moving[:3, 3] = np.asarray(transform.parameters[9:]) + centre - linear @ centre
    return np.asarray(LPS @ np.linalg.inv(fixed_to_moving) @ LPS)


def on_mni(
    image: nib.Nifti1Image, mni: nib.Nifti1Image, matrix: NDArray[np.float64]
) -> NDArray[np.float32]:
    """``image`` (SRI24 world) on the voxels of ``mni``, trilinear."""
    to_voxel = np.linalg.inv(matrix @ image.affine) @ mni.affine
    data = image.get_fdata(dtype=np.float32)
    return np.asarray(ndimage.affine_transform(data, to_voxel, output_shape=mni.shape, order=1))


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Overlap of two masks."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def main() -> None:
    """Compute, check and print the matrix."""
    folder = Path(sys.argv[1])
    t1 = squeezed(folder / "t1_stripped.nii.gz")
    mni = load_mni152_template(resolution=1)
    matrix = register(t1, mni)
    print(np.array2string(matrix, separator=", ", precision=6, suppress_small=True))
    brain = nib.Nifti1Image((t1.get_fdata() > 0).astype(np.float32), t1.affine)
    mask = load_mni152_brain_mask(resolution=1).get_fdata() > 0
    print("Dice of the brain masks", round(dice(on_mni(brain, mni, matrix) >= 0.5, mask), 4))
    maps = {"gm": load_mni152_gm_template, "wm": load_mni152_wm_template}
    for tissue, load in maps.items():
        ours = on_mni(squeezed(folder / f"{tissue}_probability.nii.gz"), mni, matrix) >= 0.5
        theirs = load(resolution=1).get_fdata() >= 0.5
        print(f"Dice of {tissue} >= 0.5", round(dice(ours, theirs), 4))


if __name__ == "__main__":
    main()
