"""A good scan on disk, to be spoilt, and what reading it says."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uad_bench.dataset import Scan, Space
from uad_bench.errors import ScanError
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.read import LoadedScan, find_space, load_scan
from uad_bench.volumes.steps.space import TO_MNI152, template_brain, template_grid

RECIPE = Recipe(name="coarse", pixel_mm=4.0, slice_mm=4.0)
CROP = np.s_[:, 36:92, 36:92]
"""The part of the grid that holds the brain: less to write."""


@dataclass(frozen=True)
class Case:
    """A good scan of 4 mm on disk: FLAIR, lesion mask and brain mask, to be spoilt."""

    scan: Scan
    flair: np.ndarray
    lesion: np.ndarray
    affine: np.ndarray

    @property
    def mask(self) -> Path:
        return self.scan.lesion[0]


def save(path: Path, data: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def in_space(scan: Scan) -> Space | None:
    """The space that a scan's brain lies in."""
    native, template, grid = load_scan(scan), template_brain(RECIPE), template_grid(RECIPE)
    assert native.brain is not None
    return find_space(native.brain, native.affine, scan.space, template, grid)


def read(scan: Scan) -> LoadedScan:
    """The scan in template space, by nothing but its files."""
    native, space = load_scan(scan), in_space(scan)
    assert native.brain is not None
    assert space is not None
    affine = TO_MNI152[space] @ native.affine
    return LoadedScan(native.image, native.brain, native.lesion, None, affine)


def good_case(folder: Path) -> Case:
    affine, brain = template_grid(RECIPE).affine.copy(), template_brain(RECIPE)[CROP]
    affine[:3, 3] = (affine @ (0, 36, 36, 1))[:3]
    flair = np.where(brain, np.random.default_rng(0).normal(100, 5, brain.shape), 0)
    flair = flair.astype(np.float32)
    lesion = np.zeros(brain.shape, np.uint8)
    lesion[18:21, 24:28, 14:18] = 1
    scan = Scan(
        "p1",
        save(folder / "flair.nii.gz", flair, affine),
        lesion=(save(folder / "lesion.nii.gz", lesion, affine),),
        brain_mask=save(folder / "brain.nii.gz", brain.astype(np.uint8), affine),
        space="mni152",
    )
    return Case(scan, flair, lesion, affine)


def refused(scan: Scan, *words: str) -> str:
    with pytest.raises(ScanError) as caught:
        read(scan)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def edit_header(path: Path, change: Callable[[nib.Nifti1Header], None]) -> None:
    """Change the raw header, which nibabel would mend on saving."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    change(header)
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)))
