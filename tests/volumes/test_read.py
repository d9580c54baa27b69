"""Reading: every bad file is refused in one line that names it; good files pass in any axes."""

from __future__ import annotations

import errno
import gzip
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from uad_bench.dataset import Scan, Space
from uad_bench.errors import ScanError
from uad_bench.volumes.files.masks import labels_on, whole_numbers
from uad_bench.volumes.files.nifti import Volume, read_volume
from uad_bench.volumes.recipe import Recipe
from uad_bench.volumes.steps.read import (
    LoadedScan,
    find_space,
    image_of,
    load_scan,
    refuse_incomplete,
    stated_space,
)
from uad_bench.volumes.steps.space import SRI24_TO_MNI152, TO_MNI152, template_brain, template_grid
from uad_bench.volumes.store.inputs import scan_inputs

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


def test_masks_that_cannot_be_read(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, a broken link, no permission: an error about that scan, never a healthy subject."""
    folder, link = tmp_path / "folder.nii.gz", tmp_path / "link.nii.gz"
    folder.mkdir()
    link.symlink_to(tmp_path / "gone.nii.gz")
    refused(replace(case.scan, lesion=(folder,)), "folder.nii.gz", "cannot be read")
    refused(replace(case.scan, lesion=(link,)), "link.nii.gz", "no such file")
    refused(replace(case.scan, brain_mask=folder), "folder.nii.gz", "cannot be read")

    whole = Path.read_bytes

    def denied(path: Path) -> bytes:
        if path == case.mask:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    refused(case.scan, "lesion.nii.gz", "cannot be read (Permission denied)")


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


def edit_header(path: Path, change: Callable[[nib.Nifti1Header], None]) -> None:
    """Change the raw header, which nibabel would mend on saving."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    change(header)
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)))


def stored(header_class: type[nib.Nifti1Header], endianness: str) -> bytes:
    data = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    kind = nib.Nifti2Image if header_class is nib.Nifti2Header else nib.Nifti1Image
    image = kind(data, np.diag([2.0, 2, 2, 1]), header=header_class(endianness=endianness))
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    return bytes(image.to_bytes())


STORED = [
    (kind, stored(kind, end))
    for kind, end in ((nib.Nifti1Header, "<"), (nib.Nifti1Header, ">"), (nib.Nifti2Header, "<"))
]
ENDS = ["0", "1", "-1", "max", "min", "inf", "-inf", "nan"]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_header_with_any_field_at_its_ends_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "ends.nii"
    kind, content = data.draw(st.sampled_from(STORED))
    size = kind.sizeof_hdr
    header = kind(content[:size], check=False)
    fields = [(name, k) for name in header for k in range(header[name].size)]
    set_end(header, *data.draw(st.sampled_from(fields)), data.draw(st.sampled_from(ENDS)))
    path.write_bytes(header.binaryblock + content[size:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = problem_of(path)
    assert told is None or (told.startswith(f"{path}: ") and "\n" not in told)


def problem_of(path: Path) -> str | None:
    """What is wrong with a file as a FLAIR, or else as a mask."""
    for check in (image_of, whole_numbers):
        try:
            check(read_volume(path))
        except ScanError as error:
            return str(error)
    return None


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


def set_end(header: nib.Nifti1Header, name: str, index: int, value: str) -> None:
    """Set one number of a header to ``value``, as far as its type has it; bytes to 0 or 255."""
    old = header[name]
    if old.dtype.kind == "S":
        header[name] = b"" if value == "0" else b"\xff" * old.dtype.itemsize
        return
    limits = np.iinfo(old.dtype) if old.dtype.kind in "iu" else np.finfo(old.dtype)
    number = {"max": limits.max, "min": limits.min}.get(value)
    if number is None:
        number = float(value)
        if old.dtype.kind in "iu":
            number = int(number) if np.isfinite(number) else limits.max
            number = max(number, int(limits.min))
    flat = np.array(old).reshape(-1)
    flat[index] = number
    header[name] = flat.reshape(old.shape)


@pytest.mark.parametrize("start", [np.inf, np.nan, -np.inf, -352.0])
def test_voxels_that_start_nowhere(case: Case, start: float) -> None:
    edit_header(case.scan.flair, lambda header: header.__setitem__("vox_offset", start))
    refused(case.scan, "flair.nii.gz", "voxels start at byte")


def test_an_axis_without_voxels(case: Case) -> None:
    edit_header(case.scan.flair, lambda header: header["dim"].__setitem__(2, 0))
    refused(case.scan, "flair.nii.gz", " x 0 x ")


def test_more_voxels_than_any_memory_holds(case: Case) -> None:
    def enlarge(header: nib.Nifti1Header) -> None:
        header["dim"][1:4] = 32767
        header["datatype"], header["bitpix"] = 64, 64

    edit_header(case.scan.flair, enlarge)
    refused(case.scan, "flair.nii.gz", "32767 x 32767 x 32767 voxels, 281", "cut short")


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_on(case: Case, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.nii.gz"
    os.mkfifo(pipe)
    refused(replace(case.scan, flair=pipe), "pipe.nii.gz", "is no regular file")
    refused(replace(case.scan, lesion=(pipe,)), "pipe.nii.gz", "is no regular file")
    (found,) = scan_inputs([replace(case.scan, lesion=(pipe,))], tmp_path)
    assert [file.sha256 for file in found.files if file.role == "lesion1"] == ["missing"]


def test_values_too_large_for_float32_are_infinite(case: Case) -> None:
    data = case.flair.astype(np.float64)
    data[1, 2, 3] = 1e300
    save(case.scan.flair, data, case.affine)
    refused(case.scan, "1 voxels are NaN or infinite")


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


def test_loading_places_nothing(case: Case) -> None:
    """A stripped scan has a brain wherever it lies, a head has none; both load."""
    moved = case.affine.copy()
    moved[:3, 3] += 70.0
    save(case.scan.flair, case.flair, moved)
    save(case.mask, case.lesion, moved)
    native = load_scan(replace(case.scan, brain_mask=None, space=None))
    assert native.brain is not None
    np.testing.assert_array_equal(native.brain, case.flair != 0)
    np.testing.assert_array_equal(native.lesion, case.lesion)
    np.testing.assert_allclose(native.affine, moved)
    assert native.space is None
    template, grid = template_brain(RECIPE), template_grid(RECIPE)
    assert find_space(native.brain, native.affine, None, template, grid) is None
    assert find_space(native.brain, case.affine, None, template, grid) == "mni152"
    assert find_space(native.brain, case.affine, "sri24", template, grid) is None
    save(case.scan.flair, case.flair + 20.0, moved)
    assert load_scan(replace(case.scan, brain_mask=None)).brain is None


@pytest.mark.parametrize(
    ("shape", "affine", "space"),
    [
        ((182, 218, 182), [[-1, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72]], "mni152"),
        ((91, 109, 91), [[-2, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72]], "mni152"),
        ((197, 233, 189), [[1, 0, 0, -98], [0, 1, 0, -134], [0, 0, 1, -72]], "mni152"),
        ((229, 193, 193), [[0, 1, 0, -96], [1, 0, 0, -132], [0, 0, 1, -78]], "mni152"),
        ((240, 240, 155), [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0]], "sri24"),
        ((182, 218, 182), [[-1, 0, 0, 80], [0, 1, 0, -126], [0, 0, 1, -72]], None),
        ((182, 218, 182), [[-0.9, 0.1, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72]], None),
        ((256, 256, 20), [[-0.9, 0, 0, 115], [0, 0.9, 0, -115], [0, 0, 6.5, -60]], None),
    ],
)
def test_a_templates_own_grid_states_its_space(
    shape: tuple[int, int, int], affine: list[list[float]], space: str | None
) -> None:
    data = np.broadcast_to(np.uint8(0), shape)
    volume = Volume(Path("x.nii"), data, np.array([*affine, [0, 0, 0, 1]], np.float64), code=2)
    assert stated_space(volume) == space
    assert stated_space(replace(volume, code=4)) == "mni152"


def test_a_brain_elsewhere_is_not_in_template_space(case: Case) -> None:
    moved = case.affine.copy()
    moved[:3, 3] += 70.0
    for path, data in ((case.scan.flair, case.flair), (case.mask, case.lesion)):
        save(path, data, moved)
    assert in_space(replace(case.scan, brain_mask=None)) is None


def test_a_head_has_no_brain_unless_a_mask_gives_it(case: Case) -> None:
    save(case.scan.flair, case.flair + 20.0, case.affine)
    assert load_scan(replace(case.scan, brain_mask=None)).brain is None
    assert read(case.scan).brain.sum() < case.flair.size  # a given mask strips it


def test_an_unknown_space_is_found_by_overlap(case: Case) -> None:
    assert in_space(replace(case.scan, space=None)) == "mni152"
    for path in (case.scan.flair, case.mask, case.scan.brain_mask):
        assert path is not None
        data = np.asarray(nib.load(path).dataobj)
        save(path, data, np.linalg.inv(SRI24_TO_MNI152) @ case.affine)
    loaded = read(replace(case.scan, space=None))
    assert in_space(replace(case.scan, space=None)) == "sri24"
    np.testing.assert_allclose(loaded.affine, case.affine, atol=1e-3)


@pytest.mark.data
def test_real_scans_load_as_what_they_are(real_patients: Path) -> None:
    """Heads have no brain yet, stripped scans do; only files of a template's grid state a space."""
    found = {}
    for path in sorted(real_patients.glob("*/**/*.nii.gz")):
        if "flair" in path.name.lower() and "atlas" not in path.parts:
            native = load_scan(Scan("x", path))
            found[path.name] = native.brain is not None, native.space
    (kirby,) = (name for name in found if "stripped" in name)
    assert found.pop(kirby) == (True, None)
    assert found.pop("FLAIR.nii.gz") == (True, "mni152")
    brats = {name for name in found if name.startswith("Brats")}
    assert {found.pop(name) for name in brats} == {(True, "sri24")}
    assert len(found) == 5
    assert set(found.values()) == {(False, None)}
