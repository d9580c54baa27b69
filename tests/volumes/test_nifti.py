"""Every file that is no image is refused in one line that names it."""

from __future__ import annotations

import errno
import gzip
import os
import warnings
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoilt_scans import Case, edit_header, read, refused, save

from uad_bench.errors import ScanError
from uad_bench.volumes.files.masks import whole_numbers
from uad_bench.volumes.files.nifti import read_volume
from uad_bench.volumes.steps.read import image_of
from uad_bench.volumes.store.inputs import scan_inputs


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
