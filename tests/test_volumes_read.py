"""Reading: every bad file is refused in one line that names it; good files pass in any axes."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from uad_bench.cohort import Scan
from uad_bench.errors import ScanError
from uad_bench.volumes.read import LoadedScan, read_scan, read_volume
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.space import SRI24_TO_MNI152, template_brain, template_grid

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


def read(scan: Scan) -> LoadedScan:
    return read_scan(scan, template_brain(RECIPE), template_grid(RECIPE))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    affine, brain = template_grid(RECIPE).affine.copy(), template_brain(RECIPE)[CROP]
    affine[:3, 3] = (affine @ (0, 36, 36, 1))[:3]
    flair = np.where(brain, np.random.default_rng(0).normal(100, 5, brain.shape), 0)
    flair = flair.astype(np.float32)
    lesion = np.zeros(brain.shape, np.uint8)
    lesion[18:21, 24:28, 14:18] = 1
    scan = Scan(
        "p1",
        save(tmp_path / "flair.nii.gz", flair, affine),
        lesion=(save(tmp_path / "lesion.nii.gz", lesion, affine),),
        brain_mask=save(tmp_path / "brain.nii.gz", brain.astype(np.uint8), affine),
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


def test_a_good_scan_passes_whole(case: Case) -> None:
    loaded = read(case.scan)
    np.testing.assert_array_equal(loaded.image, case.flair)
    np.testing.assert_array_equal(loaded.lesion, case.lesion)
    np.testing.assert_array_equal(loaded.brain, case.flair != 0)
    assert loaded.space == "mni152"
    assert loaded.tissues is None


def test_a_trailing_axis_of_length_1_and_plain_nii_are_fine(case: Case, tmp_path: Path) -> None:
    path = save(tmp_path / "other.nii", case.flair[..., None], case.affine)
    np.testing.assert_array_equal(read(replace(case.scan, flair=path)).image, case.flair)


def test_nifti_2_and_big_endian_are_fine(case: Case, tmp_path: Path) -> None:
    second = tmp_path / "second.nii.gz"
    nib.save(nib.Nifti2Image(case.flair, case.affine), second)
    np.testing.assert_array_equal(read_volume(second).data, case.flair)
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.float32)
    big = tmp_path / "big.nii"
    nib.save(nib.Nifti1Image(case.flair, case.affine, header), big)
    np.testing.assert_array_equal(read_volume(big).data, case.flair)


def test_missing_file(case: Case, tmp_path: Path) -> None:
    refused(replace(case.scan, flair=tmp_path / "gone.nii.gz"), "gone.nii.gz", "no such file")
    refused(replace(case.scan, lesion=(tmp_path / "gone.nii.gz",)), "no such file")


def test_a_folder_in_place_of_a_file(case: Case, tmp_path: Path) -> None:
    refused(replace(case.scan, flair=tmp_path), "cannot be read")


@pytest.mark.parametrize("keep", [1, 2, 40, 0.3, 0.9, -9, -1])
def test_a_file_cut_anywhere(case: Case, keep: float) -> None:
    content = case.scan.flair.read_bytes()
    cut = round(keep * len(content)) if isinstance(keep, float) else keep
    case.scan.flair.write_bytes(content[:cut])
    refused(case.scan, "flair.nii.gz")


def test_one_flipped_byte(case: Case) -> None:
    content = bytearray(case.scan.flair.read_bytes())
    content[len(content) // 2] ^= 0xFF
    case.scan.flair.write_bytes(content)
    refused(case.scan, "truncated or damaged")


def test_a_cut_file_without_compression(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "cut.nii"
    path.write_bytes(gzip.decompress(case.scan.flair.read_bytes())[:-100])
    refused(replace(case.scan, flair=path), "cut short")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(400)])
def test_not_nifti(case: Case, content: bytes) -> None:
    case.scan.flair.write_bytes(content)
    refused(case.scan, "not a NIfTI file")
    case.scan.flair.write_bytes(gzip.compress(content))
    refused(case.scan, "not a NIfTI file")


@pytest.mark.parametrize("shape", [(4, 5, 6, 2), (4, 5)])
def test_not_3d(case: Case, shape: tuple[int, ...]) -> None:
    save(case.scan.flair, np.zeros(shape, np.float32), case.affine)
    refused(case.scan, "not 3D", " x ".join(map(str, shape)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(case: Case, value: float) -> None:
    case.flair[3, 4, 5] = value
    save(case.scan.flair, case.flair, case.affine)
    refused(case.scan, "1 voxels are NaN or infinite")


def test_constant_volume(case: Case) -> None:
    save(case.scan.flair, np.full_like(case.flair, 3), case.affine)
    refused(case.scan, "every voxel is 3")


def test_empty_brain_mask(case: Case) -> None:
    assert case.scan.brain_mask is not None
    save(case.scan.brain_mask, np.zeros_like(case.lesion), case.affine)
    refused(case.scan, "brain.nii.gz", "brain mask is empty")


def test_mask_of_another_shape(case: Case) -> None:
    save(case.mask, case.lesion[:-1], case.affine)
    refused(case.scan, "lesion.nii.gz", "38 x 56 x 56", "39 x 56 x 56")


@pytest.mark.parametrize("change", ["shift", "flip"])
def test_mask_of_another_affine(case: Case, change: str) -> None:
    other = case.affine.copy()
    if change == "shift":
        other[1, 3] += 1.5
    else:
        other[0] *= -1
    save(case.mask, case.lesion, other)
    refused(case.scan, "lesion.nii.gz", "affine differs", "voxels")


def test_a_mask_whose_affine_was_rounded_passes(case: Case) -> None:
    save(case.mask, case.lesion, case.affine + 1e-4)
    assert read(case.scan).lesion is not None


def test_empty_lesion_mask(case: Case) -> None:
    save(case.mask, np.zeros_like(case.lesion), case.affine)
    refused(case.scan, "lesion.nii.gz", "no lesion")


def test_labels_between_whole_numbers(case: Case) -> None:
    save(case.mask, case.lesion * np.float32(0.4), case.affine)
    refused(case.scan, "between whole numbers")


def test_unexpected_labels(case: Case) -> None:
    save(case.mask, case.lesion * np.uint8(7), case.affine)
    scan = replace(case.scan, lesion_labels=frozenset({1}), ignore_labels=frozenset({2}))
    refused(scan, "unexpected labels 7", "expected 0, 1, 2")
    assert read(case.scan).lesion is not None
    save(case.mask, -case.lesion.astype(np.int16), case.affine)
    refused(case.scan, "unexpected labels -1")


def test_unexpected_tissue_labels(case: Case, tmp_path: Path) -> None:
    path = save(tmp_path / "tissues.nii.gz", case.lesion * np.uint8(4), case.affine)
    refused(replace(case.scan, tissues=path), "tissues.nii.gz", "unexpected labels 4")


def test_ignored_labels_become_2(case: Case) -> None:
    mask = case.lesion.copy()
    mask[10, 24:28, 14:18] = 2
    save(case.mask, mask, case.affine)
    scan = replace(case.scan, lesion_labels=frozenset({1}), ignore_labels=frozenset({2}))
    np.testing.assert_array_equal(read(scan).lesion, mask)
    loaded = read(replace(case.scan, lesion_labels=None, ignore_labels=frozenset({2})))
    np.testing.assert_array_equal(loaded.lesion, mask)


def test_raters_by_majority_and_a_tie_is_ignored(case: Case, tmp_path: Path) -> None:
    votes = np.zeros((4, *case.lesion.shape), np.uint8)
    for count in range(5):
        votes[:count, 20, 24, count] = 1
    paths = tuple(save(tmp_path / f"r{k}.nii.gz", votes[k], case.affine) for k in range(4))
    lesion = read(replace(case.scan, lesion=paths)).lesion
    assert lesion is not None
    assert lesion[20, 24, :5].tolist() == [0, 0, 2, 1, 1]
    three = read(replace(case.scan, lesion=paths[:3])).lesion
    assert three is not None
    assert three[20, 24, :5].tolist() == [0, 0, 1, 1, 1]
    refused(replace(case.scan, lesion=(paths[3], case.mask)), "2 raters agree on no lesion")


def edit_header(path: Path, change: Callable[[nib.Nifti1Header], None]) -> None:
    """Change the raw header, which nibabel would mend on saving."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    change(header)
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)))


@pytest.mark.parametrize("zoom", [0.0, -2.0, np.nan])
def test_voxel_sizes_that_are_none(case: Case, zoom: float) -> None:
    edit_header(case.scan.flair, lambda header: header["pixdim"].__setitem__(2, zoom))
    refused(case.scan, "voxel size", "not positive")


def test_degenerate_affine(case: Case) -> None:
    edit_header(case.scan.flair, lambda header: header.__setitem__("srow_x", header["srow_y"]))
    refused(case.scan, "not invertible")


def test_no_orientation(case: Case) -> None:
    def forget(header: nib.Nifti1Header) -> None:
        header["sform_code"] = header["qform_code"] = 0

    edit_header(case.scan.flair, forget)
    refused(case.scan, "no orientation")


def test_a_brain_elsewhere_is_not_in_template_space(case: Case) -> None:
    moved = case.affine.copy()
    moved[:3, 3] += 70.0
    for path, data in ((case.scan.flair, case.flair), (case.mask, case.lesion)):
        save(path, data, moved)
    refused(replace(case.scan, brain_mask=None), "not in MNI152 space", "raw scans")


def test_a_head_is_refused_for_its_skull(case: Case) -> None:
    save(case.scan.flair, case.flair + 20.0, case.affine)
    refused(replace(case.scan, brain_mask=None), "has its skull", "skull-stripped and registered")
    assert read(case.scan).brain.sum() < case.flair.size  # a given mask strips it


def test_an_unknown_space_is_found_by_overlap(case: Case) -> None:
    assert read(replace(case.scan, space=None)).space == "mni152"
    for path in (case.scan.flair, case.mask, case.scan.brain_mask):
        assert path is not None
        data = np.asarray(nib.load(path).dataobj)
        save(path, data, np.linalg.inv(SRI24_TO_MNI152) @ case.affine)
    loaded = read(replace(case.scan, space=None))
    assert loaded.space == "sri24"
    np.testing.assert_allclose(loaded.affine, case.affine, atol=1e-3)


@pytest.mark.data
def test_real_raw_scans_are_refused_with_what_they_are(real_patients: Path) -> None:
    heads = sorted((real_patients / "extra-ms-bids").glob("sub-*/anat/*_FLAIR.nii.gz"))
    heads += sorted((real_patients / "healthy").glob("*_head.nii.gz"))
    assert len(heads) == 5
    for path in heads:
        refused(Scan("x", path), "has its skull", os.fspath(path))
    (stripped,) = (real_patients / "healthy").glob("*_stripped.nii.gz")
    refused(Scan("x", stripped), "not in MNI152 or SRI24 space")
