"""A mask's numbers are labels, and say who is healthy and who is not."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from spoilt_scans import Case, read, refused, save

from uad_bench.errors import ScanError
from uad_bench.volumes.steps.read import refuse_incomplete


def test_empty_brain_mask(case: Case) -> None:
    assert case.scan.brain_mask is not None
    save(case.scan.brain_mask, np.zeros_like(case.lesion), case.affine)
    refused(case.scan, "brain.nii.gz", "brain mask is empty")


@pytest.mark.parametrize("largest", [100, 255])
def test_probabilities_in_whole_numbers_are_no_mask(case: Case, largest: int) -> None:
    far = distance_transform_edt(case.lesion == 0)
    share = np.clip(1.2 - far / 8, 0, 1)
    save(case.mask, np.rint(share * largest).astype(np.uint8), case.affine)
    refused(case.scan, "lesion.nii.gz", "a probability map? Binarise it")


def test_lesions_that_are_numbered_are_lesions(case: Case) -> None:
    lesions = np.zeros_like(case.lesion)
    for number in range(12):
        x, y = 10 + 4 * (number % 4), 20 + 4 * (number // 4)
        lesions[x : x + 3, y : y + 4, 14:18] = number + 1
    save(case.mask, lesions, case.affine)
    np.testing.assert_array_equal(read(case.scan).lesion, lesions > 0)


def test_an_all_zero_mask_is_a_healthy_subjects(case: Case) -> None:
    save(case.mask, np.zeros_like(case.lesion), case.affine)
    for healthy in (None, True):
        loaded = read(replace(case.scan, healthy=healthy))
        assert loaded.lesion is not None
        assert not loaded.lesion.any()


def test_a_mask_that_marks_other_than_lesion_is_nobodys(case: Case) -> None:
    save(case.mask, 2 * case.lesion, case.affine)
    scan = replace(case.scan, lesion_labels=frozenset({1}), ignore_labels=frozenset({2}))
    refused(scan, "lesion.nii.gz", "no lesion in the mask, which is not all zero")
    assert read(replace(scan, healthy=True)).lesion is not None


def test_an_all_zero_mask_of_somebody_called_a_patient(case: Case) -> None:
    save(case.mask, np.zeros_like(case.lesion), case.affine)
    refused(replace(case.scan, healthy=False), "said to be a patient, but the mask is all zero")


@pytest.mark.parametrize("largest", [3e-5, 1e-6, 9e-4, -1e-4])
def test_a_mask_that_only_rounding_makes_empty_is_not_empty(case: Case, largest: float) -> None:
    save(case.mask, case.lesion * largest, case.affine)
    refused(case.scan, "lesion.nii.gz", "neither 0 nor a label; binarise it")


def test_noise_around_0_beside_a_lesion_does_no_harm(case: Case) -> None:
    save(case.mask, np.where(case.lesion, 1.0 - 1e-6, 1e-6), case.affine)
    np.testing.assert_array_equal(read(case.scan).lesion, case.lesion)


def test_a_lesion_in_somebody_called_healthy(case: Case) -> None:
    refused(replace(case.scan, healthy=True), "lesion.nii.gz", "said to be healthy")


def test_no_mask_is_no_statement(case: Case) -> None:
    """Only a test scan needs one: training and validation scans say nothing by their split."""
    scan = replace(case.scan, lesion=())
    with pytest.raises(ScanError, match="no lesion mask, and nobody says"):
        refuse_incomplete(scan)
    refuse_incomplete(case.scan)
    refuse_incomplete(replace(scan, healthy=True))
    refuse_incomplete(replace(scan, split="train"))
    refuse_incomplete(replace(scan, split="validation"))


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


@pytest.mark.parametrize("slope", [1e10, 1e30, -1e30])
def test_a_mask_with_a_huge_scale_factor_is_one_line(case: Case, slope: float) -> None:
    image = nib.Nifti1Image(case.lesion.astype(np.int16), case.affine)
    content = bytearray(image.to_bytes())
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    header["scl_slope"], header["scl_inter"] = slope, 0.0
    path = case.mask.with_name("scaled.nii")
    path.write_bytes(header.binaryblock + bytes(content[348:]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = refused(replace(case.scan, lesion=(path,)), "scaled.nii", "check the header's scale")
    assert "no labels" in told
