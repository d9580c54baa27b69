"""What a header says of voxel sizes and directions is believed only where it is sound."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from spoilt_scans import Case, edit_header, in_space, refused, save

from uad_bench.volumes.steps.read import load_scan


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


@pytest.mark.parametrize("sform", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("qform", [1, 2, 3, 4, 5])
def test_an_sform_and_a_qform_10_mm_apart(case: Case, sform: int, qform: int) -> None:
    """Only a template's sform beside the scanner's qform says two things that are both true."""

    def shift(header: nib.Nifti1Header) -> None:
        header["sform_code"], header["qform_code"] = sform, qform
        header["qoffset_x"] += 10.0

    edit_header(case.scan.flair, shift)
    if sform in {3, 4, 5} and qform == 1:
        np.testing.assert_allclose(load_scan(case.scan).affine, case.affine)
    else:
        refused(case.scan, f"sform (code {sform})", f"qform (code {qform})", "disagree by up to 10")


def test_a_template_sform_beside_a_scanner_qform_is_followed(case: Case) -> None:
    def place(header: nib.Nifti1Header) -> None:
        header["sform_code"], header["qform_code"] = 4, 1
        header["qoffset_x"] += 70.0

    edit_header(case.scan.flair, place)
    native = load_scan(replace(case.scan, space=None))
    np.testing.assert_allclose(native.affine, case.affine)
    assert native.space == "mni152"


def test_a_mask_that_follows_the_qform_of_such_a_flair_is_refused(case: Case) -> None:
    """Case 14: it has the FLAIR's voxels and lies 10 mm from where the FLAIR's sform puts them."""

    def place(header: nib.Nifti1Header) -> None:
        header["sform_code"], header["qform_code"] = 4, 1

    moved = case.affine.copy()
    moved[0, 3] += 10.0
    save(case.mask, case.lesion, moved)
    edit_header(case.scan.flair, place)
    refused(case.scan, "lesion.nii.gz", "up to 10 mm away")


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("codes", [(1, 0), (2, 0), (4, 0), (4, 1)])
def test_voxel_sizes_that_the_affine_contradicts(
    case: Case, axis: int, codes: tuple[int, int]
) -> None:
    def stretch(header: nib.Nifti1Header) -> None:
        header["sform_code"], header["qform_code"] = codes
        header["pixdim"][axis] *= 1.02

    edit_header(case.scan.flair, stretch)
    refused(case.scan, "flair.nii.gz", "4.08", "(pixdim), but its affine makes them 4 x 4 x 4 mm")


def test_voxel_sizes_that_were_rounded_pass(case: Case) -> None:
    edit_header(case.scan.flair, lambda header: header["pixdim"].__setitem__(1, 4.01))
    assert in_space(case.scan) == "mni152"


def test_sform_and_qform_that_agree_but_for_rounding(case: Case) -> None:
    def round_off(header: nib.Nifti1Header) -> None:
        header["sform_code"] = header["qform_code"] = 1
        header["qoffset_x"] += 0.3  # less than a tenth of 4 mm

    edit_header(case.scan.flair, round_off)
    assert in_space(case.scan) == "mni152"


def test_a_qform_that_is_no_rotation(case: Case) -> None:
    def twist(header: nib.Nifti1Header) -> None:
        header["sform_code"] = header["qform_code"] = 1
        header["quatern_b"] = header["quatern_c"] = 1.5

    edit_header(case.scan.flair, twist)
    refused(case.scan, "disagree", "qform is no rotation")
