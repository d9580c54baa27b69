"""A mask of other axes or another grid is brought to the FLAIR's voxels, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from spoilt_scans import Case, edit_header, read, refused, save

from uad_bench.errors import ScanError
from uad_bench.volumes.files.masks import labels_on
from uad_bench.volumes.files.nifti import read_volume
from uad_bench.volumes.steps.read import load_scan


def test_mask_of_another_shape(case: Case) -> None:
    save(case.mask, case.lesion[:-1], case.affine)
    refused(case.scan, "lesion.nii.gz", "38 x 56 x 56", "39 x 56 x 56")


def test_a_mask_on_another_grid_that_lies_elsewhere(case: Case) -> None:
    other = case.affine.copy()
    other[1, 3] += 100.0
    save(case.mask, np.pad(case.lesion, ((0, 0), (0, 0), (0, 1))), other)
    refused(case.scan, "lesion.nii.gz", "covers 53.3 %", "of its labels lie in that image")


@pytest.mark.parametrize(("mask", "flair"), [(4, 1), (1, 4), (3, 4)])
def test_a_mask_on_another_grid_and_in_another_world_is_refused(
    case: Case, mask: int, flair: int
) -> None:
    """A template's origin is elsewhere than the scanner's, even where the boxes overlap."""

    def coded(code: int) -> Callable[[nib.Nifti1Header], None]:
        def change(header: nib.Nifti1Header) -> None:
            header["sform_code"], header["qform_code"] = code, 0

        return change

    other = case.affine.copy()
    other[:3, 3] = (case.affine @ (-3, -3, -3, 1))[:3]
    save(case.mask, np.pad(case.lesion, 3), other)
    edit_header(case.mask, coded(2))
    edit_header(case.scan.flair, coded(flair))
    assert read(case.scan).lesion is not None, "code 2 names no world"
    edit_header(case.mask, coded(mask))
    refused(case.scan, "lesion.nii.gz", f"(code {mask})", f"(code {flair})", "resample it")


def test_labels_outside_the_flair_are_not_cut_off(case: Case) -> None:
    wide = np.pad(case.lesion, 3)
    other = case.affine.copy()
    other[:3, 3] = (case.affine @ (-3, -3, -3, 1))[:3]
    save(case.mask, wide, other)
    np.testing.assert_array_equal(read(case.scan).lesion, case.lesion)
    wide[20, 20, 1] = 1
    save(case.mask, wide, other)
    refused(case.scan, "covers 100 %", "97.9 % of its labels lie in that image")


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_masks_stored_in_other_axes_are_the_same_masks(
    case: Case, tmp_path: Path, axes: tuple[int, int, int], flip: tuple[int, int, int]
) -> None:
    """Affines decide; the order in which an array is stored never does."""
    labels = case.lesion.copy()
    labels[20:24, 30:32, 30:33] = 2
    tissues = (case.flair > 0).astype(np.uint8) + (case.flair > 100)

    def stored(path: Path, data: np.ndarray) -> Path:
        moved = data.transpose(axes)
        to_original = np.zeros((4, 4))
        to_original[3, 3] = 1
        for axis, source in enumerate(axes):
            to_original[source, axis] = flip[axis]
            to_original[source, 3] = 0 if flip[axis] == 1 else moved.shape[axis] - 1
        return save(
            path, moved[tuple(slice(None, None, f) for f in flip)], case.affine @ to_original
        )

    assert case.scan.brain_mask is not None
    stored(case.mask, labels)
    stored(case.scan.brain_mask, (case.flair != 0).astype(np.uint8))
    scan = replace(
        case.scan,
        lesion_labels=frozenset({1}),
        ignore_labels=frozenset({2}),
        tissues=stored(tmp_path / "tissues.nii.gz", tissues),
    )
    native = load_scan(scan)
    np.testing.assert_array_equal(native.lesion, labels)
    np.testing.assert_array_equal(native.brain, case.flair != 0)
    np.testing.assert_array_equal(native.tissues, np.choose(tissues, [0, 2, 3, 1]))
    assert native.regridded == native.displaced == ()


def test_a_finer_mask_becomes_the_flairs_voxels(case: Case) -> None:
    """Each voxel of the FLAIR holds eight of the mask: it takes what most of them say."""
    fine = case.lesion.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    fine[40:42, 60:62, 60] = 1  # half of a voxel: lesion
    fine[40:42, 64, 64] = 1  # a quarter: none
    fine[44, 60:62, 60:62], fine[45, 60:62, 60] = 1, 3  # two labels, six of eight: the larger one
    half = case.affine @ np.diag([0.5, 0.5, 0.5, 1.0])
    half[:3, 3] = (case.affine @ (-0.25, -0.25, -0.25, 1))[:3]
    save(case.mask, fine, half)
    expected = case.lesion.copy()
    expected[20, 30, 30] = expected[22, 30, 30] = 1
    native = load_scan(replace(case.scan, lesion_labels=frozenset({1, 3})))
    np.testing.assert_array_equal(native.lesion, expected)
    assert native.regridded == (case.mask,)
    native = load_scan(
        replace(case.scan, lesion_labels=frozenset({1}), ignore_labels=frozenset({3}))
    )
    np.testing.assert_array_equal(native.lesion, expected)  # no 3 and no mixture is left


def test_an_oblique_mask_keeps_its_shape_and_labels(case: Case) -> None:
    """A ball of two labels, drawn on a turned and finer grid, against the ball itself."""
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    centre = (case.affine @ (20, 26, 30, 1))[:3]
    shape = (120, 120, 90)
    other = turn @ np.diag([2.5, 2.5, 2.0, 1])
    other[:3, 3] = centre - other[:3, :3] @ (np.array(shape) / 2)

    def ball(grid: np.ndarray, affine: np.ndarray) -> np.ndarray:
        points = np.moveaxis(np.indices(grid.shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
        inside = np.linalg.norm(points - centre, axis=-1) < 28
        return np.where(inside, np.where(points[..., 2] > centre[2], 5, 3), 0).astype(np.int16)

    save(case.mask, ball(np.empty(shape), other), other)
    truth = ball(case.lesion, case.affine)
    flair = read_volume(case.scan.flair)
    found = labels_on(read_volume(case.mask), flair, case.flair != 0)
    assert set(np.unique(found)) == {0, 3, 5}
    for label in (3, 5):
        both = 2 * np.sum((found == label) & (truth == label))
        assert both / (np.sum(found == label) + np.sum(truth == label)) > 0.95
    fine = np.sum(ball(np.empty(shape), other) != 0) * 12.5
    assert np.sum(found != 0) * 64.0 == pytest.approx(fine, rel=0.03)  # mm3: the volume is kept


def test_a_mask_of_a_raw_scan_must_cover_its_head(case: Case) -> None:
    noise = np.random.default_rng(1).rayleigh(4, case.flair.shape).astype(np.float32)
    save(case.scan.flair, case.flair + noise, case.affine)
    scan = replace(case.scan, brain_mask=None)
    other = case.affine.copy()
    other[:3, 3] = (case.affine @ (0, 2, 2, 1))[:3]
    save(case.mask, case.lesion[:, 2:-2, 2:-2], other)  # cuts background only
    np.testing.assert_array_equal(load_scan(scan).lesion, case.lesion)
    other[:3, 3] = (case.affine @ (0, 12, 2, 1))[:3]
    save(case.mask, case.lesion[:, 12:-2, 2:-2], other)  # cuts the forehead
    with pytest.raises(ScanError, match=r"39 x 42 x 52.*39 x 56 x 56.*covers 9"):
        load_scan(scan)


def test_a_mask_whose_affine_was_rounded_passes(case: Case) -> None:
    save(case.mask, case.lesion, case.affine + 1e-4)
    assert read(case.scan).lesion is not None
