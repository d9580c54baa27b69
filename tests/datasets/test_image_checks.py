"""An image that cannot be a FLAIR, or looks like none, is told."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from checked_datasets import edit, notes, serious, the_one
from scipy.ndimage import distance_transform_edt

from uad_bench.volumes.checks.appearance import deep_to_rim, lesion_contrasts, skewness
from uad_bench.volumes.grid import mirrored


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda flair: np.where(flair == flair.max(), np.nan, flair), "1 voxels are NaN"),
        (lambda flair: np.full_like(flair, 7), "every voxel is 7"),
        (lambda flair: np.stack([flair, flair], axis=-1), "not 3D"),
    ],
)
def test_images_that_cannot_be_used(
    mslub: Path, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    edit(mslub / "patient12/FLAIR.nii.gz", change)
    severity, scan, where, words = the_one(mslub)
    assert (severity, scan, where) == ("error", "patient12", "patient12/FLAIR.nii.gz")
    assert message in words


def test_headers_that_cannot_be_used(mslub: Path) -> None:
    for number, change in (
        (11, lambda header: header["pixdim"].__setitem__(2, -1.0)),
        (12, lambda header: [header.__setitem__(code, 0) for code in ("sform_code", "qform_code")]),
        (13, lambda header: (header.__setitem__("qform_code", 4), header.set_qform(np.eye(4), 4))),
    ):
        path = mslub / f"patient{number}/FLAIR.nii.gz"
        content = bytearray(gzip.decompress(path.read_bytes()))
        header = nib.Nifti1Header(bytes(content[:348]), check=False)
        change(header)
        content[:348] = header.binaryblock
        path.write_bytes(gzip.compress(bytes(content)))
    messages = [message for *_, message in serious(mslub)]
    assert len(messages) == 3
    for message, words in zip(
        messages, ("is not positive", "no orientation", "disagree by up to"), strict=True
    ):
        assert words in message


def test_intensities(mslub: Path) -> None:
    edit(mslub / "patient11/FLAIR.nii.gz", lambda flair: flair.clip(0, 110))
    edit(mslub / "patient12/FLAIR.nii.gz", lambda flair: np.where(flair == 0, -5, flair))
    edit(mslub / "patient13/FLAIR.nii.gz", lambda flair: flair.round().astype(np.uint8))
    (clipped, dominant, background) = serious(mslub)
    assert clipped[:2] == dominant[:2] == ("warning", "patient11")
    assert "of the voxels are at the maximum, 110" in clipped[3]
    assert "of the voxels inside are 110" in dominant[3]
    assert background[:2] == ("warning", "patient12")
    assert "the background is -5, not 0" in background[3]
    assert any("8 bits of intensity" in note for note in notes(mslub))


def test_spacing(hi: Path) -> None:
    """One scan of another protocol is odd; voxels that no scanner makes are odd anywhere."""
    for path in sorted((hi / "sub-002").glob("**/*.nii.gz")):
        edit(path, lambda data: data.repeat(2, 2), nib.load(path).affine @ np.diag([1, 1, 0.5, 1]))
    assert the_one(hi, "hi") == (
        "warning",
        "sub-002",
        "FLAIR",
        "voxels of 2 x 4 x 4 mm, the dataset's of 4 x 4 x 4 mm",
    )
    for path in sorted((hi / "sub-003").glob("**/*.nii.gz")):
        edit(path, affine=nib.load(path).affine @ np.diag([2, 2, 2, 1]))
    messages = [message for _, scan, _, message in serious(hi, "hi") if scan == "sub-003"]
    assert "unusual voxels of 8 x 8 x 8 mm; check the header" in messages
    assert any("a brain of 15" in message for message in messages)


def test_another_sequence_among_flair(hi: Path) -> None:
    """A T1 has dark grey matter, a T2 bright fluid; neither is judged with its skull on."""
    (t1,) = (hi / "sub-002").glob("**/*_FLAIR.nii.gz")
    (t2,) = (hi / "sub-004").glob("**/*_FLAIR.nii.gz")
    depth = distance_transform_edt(nib.load(t1).get_fdata() > 0, sampling=4)
    edit(t1, lambda flair: np.where(depth > 14, 1.3, 1) * flair)
    edit(t2, lambda flair: np.where(depth > 14, 0.8, 1) * np.where(flair > 123, 3, 1) * flair)
    found = serious(hi, "hi")
    assert any(f[1] == "sub-002" and "as in a T1" in f[3] for f in found)
    assert any(f[1] == "sub-004" and "as in a T2" in f[3] for f in found)
    assert {f[0] for f in found} == {"warning"}
    assert {f[1] for f in found} == {"sub-002", "sub-004"}
    head = np.random.default_rng(0).rayleigh(5, nib.load(t1).shape)
    edit(t1, lambda flair: flair + head)
    (brain,) = (hi / "sub-002").glob("**/*_desc-brain_mask.nii.gz")
    brain.unlink()
    assert {f[1] for f in serious(hi, "hi")} == {"sub-004"}
    assert any("1 scans have their skull, 5 are stripped" in note for note in notes(hi, "hi"))


@pytest.mark.data
def test_a_real_t1_is_told_from_real_flair(real_patients: Path) -> None:
    def ratio(path: Path) -> float:
        image = nib.load(path)
        data = np.asarray(image.dataobj, dtype=np.float32).reshape(image.shape[:3])
        brain = data != 0
        value = deep_to_rim(data, brain, np.zeros_like(brain), image.affine)
        assert value is not None
        return value

    assert ratio(real_patients / "atlas/SRI24/t1_stripped.nii.gz") > 1.2
    for path in ("MSLUB/patient07/FLAIR.nii.gz", "healthy/kirby113-02_FLAIR_stripped.nii.gz"):
        assert 0.9 < ratio(real_patients / path) < 1.1


def test_measures_of_an_image() -> None:
    affine = np.diag([-2.0, 2, 4, 1])
    lesion = np.zeros((20, 20, 10), np.bool_)
    lesion[3:6, 8:11, 4:6] = True
    image = np.where(lesion, 5.0, 1.0).astype(np.float32)
    inside = np.ones_like(lesion)
    np.testing.assert_array_equal(mirrored(lesion, affine), lesion[::-1])
    np.testing.assert_array_equal(mirrored(lesion, affine[[1, 0, 2, 3]]), lesion[:, ::-1])
    contrast, mirror = lesion_contrasts(image, lesion, inside, affine)
    assert contrast == pytest.approx(4 / image.std())
    assert mirror == 0
    assert lesion_contrasts(image, lesion, ~inside, affine) == (None, None)
    assert lesion_contrasts(image, ~inside, inside, affine) == (None, None)
    assert lesion_contrasts(np.ones_like(image), lesion, inside, affine) == (None, None)
    assert deep_to_rim(image, inside, lesion, affine) is None  # too small for any depth
    assert skewness(np.arange(101, dtype=np.float32)) == 0
    assert skewness(np.array([0.0, 0, 0, 0, 1, 2], np.float32)) == 1
    assert skewness(np.zeros(5, np.float32)) == 0
