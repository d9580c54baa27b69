"""Preparing a scan that is stripped and lies in the template's space: from NIfTI to slices."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from benchmarks.measure import Row, at_most
from uad_bench.dataset import Scan, Split
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.space import template_brain, template_grid, template_tissues
from uad_bench.volumes.store.inputs import scan_inputs
from uad_bench.volumes.store.standardise import Preparation
from uad_bench.volumes.store.workers import Ready, prepare_scan

SHAPE = (182, 218, 182)
"""The grid of MNI152 at 1 mm, as FSL has it."""


def write_patient(folder: Path) -> tuple[Path, Path]:
    """Write a FLAIR and a lesion mask, 1 mm, compressed."""
    recipe, rng = Recipe(), np.random.default_rng(0)
    affine = np.array([[-1.0, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]])
    brain, tissues = template_brain(recipe), template_tissues(recipe)
    flair = np.where(brain, 300 * np.tensordot(np.array([0.2, 0.6, 0.53]), tissues, 1), 0)
    to_grid = np.linalg.inv(template_grid(recipe).affine) @ affine
    image, inside = (
        ndimage.affine_transform(part, to_grid, output_shape=SHAPE, order=1)
        for part in (flair, brain.astype(float))
    )
    image = np.where(inside > 0.5, image + rng.normal(0, 15, SHAPE), 0).clip(0).astype(np.int16)
    lesion = np.zeros(SHAPE, np.uint8)
    for place in rng.choice(np.argwhere(image > 150), 30):
        box = tuple(slice(int(centre) - 2, int(centre) + 3) for centre in place)
        lesion[box] = image[box] > 0
    image[lesion > 0] = 300
    paths = folder / "flair.nii.gz", folder / "lesion.nii.gz"
    for path, data in zip(paths, (image, lesion), strict=True):
        volume = nib.Nifti1Image(data, affine)
        volume.set_sform(affine, 4)
        volume.set_qform(affine, 4)
        volume.to_filename(path)
    return paths


def measure() -> list[Row]:
    """Take the time of a patient with a lesion mask, and of the same scan without."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flair, lesion = write_patient(folder)
        preparation = Preparation(Recipe(), folder / "steps", folder)
        kinds: dict[str, tuple[Split, tuple[Path, ...]]] = {
            "a training scan": ("train", ()),
            "a patient with a lesion mask": ("test", (lesion,)),
        }
        for title, (split, masks) in kinds.items():
            scan = Scan(subject="one", flair=flair, lesion=masks, split=split, space="mni152")
            seconds = []
            for _ in range(8):
                start = time.perf_counter()
                found = prepare_scan(scan_inputs([scan], folder)[0], preparation)
                seconds.append(time.perf_counter() - start)
                assert isinstance(found, Ready), found
            work = f"{title}, {' x '.join(map(str, SHAPE))}"
            rows.append(at_most(work, statistics.median(seconds[1:]), "s", 0.3))
    return rows
