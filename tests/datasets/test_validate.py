"""Every fault of a dataset is found at once, in one line, and sound datasets pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from checked_datasets import check, edit, serious, the_one
from made_datasets import adapter

from uad_bench.dataset import Dataset, Scan
from uad_bench.errors import UadBenchError
from uad_bench.volumes.checks.validate import validate_dataset


def test_sound_datasets_pass(lab: Path) -> None:
    for name in ("mslub", "hi", "wmh"):
        assert serious(lab / name.upper(), name) == []


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "name"), [("MSLUB", "mslub"), ("BraTS", "brats"), ("extra-ms-bids", "bids")]
)
def test_real_datasets_have_no_error(real_patients: Path, folder: str, name: str) -> None:
    found = serious(real_patients / folder, name)
    assert {message.split(" mm")[0] for *_, message in found} <= {
        "unusual voxels of 0.898 x 0.898 x 8",
        "unusual voxels of 0.898 x 0.898 x 7.7",
    }
    assert all(severity == "warning" for severity, *_ in found)


def test_every_fault_is_found_at_once_worst_first(mslub: Path) -> None:
    (mslub / "patient11/FLAIR.nii.gz").unlink()
    path = mslub / "patient12/FLAIR.nii.gz"
    path.write_bytes(path.read_bytes()[:-50])
    edit(mslub / "patient12/consensus_gt.nii.gz", lambda mask: mask * 0.4)
    edit(mslub / "patient13/FLAIR.nii.gz", lambda flair: flair - 110 * (flair > 0))
    edit(mslub / "patient13/consensus_gt.nii.gz", np.zeros_like)
    found = check(mslub)
    assert [(f.severity, f.scan) for f in found[:5]] == [
        ("error", "patient11"),
        ("error", "patient12"),
        ("warning", "patient13"),
        ("note", "patient13"),
        ("note", "patient13"),
    ]
    assert [f.message.split(";")[0] for f in found[:5]] == [
        "no such file",
        "the .gz file is truncated or damaged",
        "70% of the voxels inside are negative: standardised?",
        "thick slices: voxels of 4 x 4 x 4 mm",
        "all zero: the subject counts as healthy",
    ]
    assert found[1].where == "patient12/FLAIR.nii.gz"
    assert all("\n" not in f.message for f in found)


def test_each_file_is_read_once(mslub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    original = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        opened.append(path)
        return original(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    check(mslub)
    assert sorted(opened) == sorted(mslub.glob("*/*.nii.gz"))


def test_the_same_scan_twice(mslub: Path) -> None:
    shutil.copytree(mslub / "patient11", mslub / "patient14")
    shutil.copytree(mslub / "patient12", mslub / "patient15")
    path = mslub / "patient15/FLAIR.nii.gz"
    image = nib.load(path)  # the same voxels, stored the other way round, without compression
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = image.shape[0] - 1
    nib.save(
        nib.Nifti1Image(image.get_fdata()[::-1], image.affine @ flip), path.with_name("FLAIR.nii")
    )
    path.unlink()
    assert [(scan, message) for *_, scan, _, message in serious(mslub)] == [
        ("patient14", "the same file as patient11; keep one of them"),
        ("patient15", "the same voxels, stored otherwise, as patient12; keep one of them"),
    ]


def test_one_lesion_mask_for_two_images(mslub: Path) -> None:
    names = ("patient12/consensus_gt.nii.gz", "patient13/consensus_gt.nii.gz")
    shutil.copy(mslub / names[0], mslub / names[1])
    found = serious(mslub)
    assert ("warning", "patient13", "lesion") in {found[:3] for found in found}
    assert any("same lesion mask as patient12" in message for *_, message in found)


def test_one_person_in_training_and_test(hi: Path) -> None:
    """By the image, under another name; the same name in two splits is the adapter's to avoid."""
    twin = shutil.copytree(hi / "sub-005", hi / "sub-007")
    for path in sorted(twin.glob("**/*.nii.gz")):
        path.rename(path.with_name(path.name.replace("005", "007")))
    with (hi / "participants.tsv").open("a") as table:
        table.write("sub-007\ttrain\n")
    severity, scan, _, message = the_one(hi, "hi")
    assert (severity, scan) == ("error", "sub-007")
    assert message == "the same file as sub-005, which is in validation; keep one of them"


class Listed(Dataset):
    """Scans as they are given."""

    info = adapter("bids").info

    def __init__(self, *scans: Scan) -> None:
        self.listed = scans

    def scans(self, root: Path):  # type: ignore[no-untyped-def]
        return iter(self.listed)


def test_names_splits_and_sessions(tmp_path: Path) -> None:
    gone = tmp_path / "gone.nii.gz"
    dataset = Listed(
        Scan("sub-01", gone, "1", split="train"),
        Scan("sub-01", gone, "1", split="test"),
        Scan("sub-2", gone, "1", split="test", lesion=(gone,)),
        Scan("sub-2", gone, split="test"),
        Scan("SUB_02", gone, split="test"),
        Scan("sub-2-2", gone, split="train"),
        Scan("sub-22", gone, split="train"),
    )
    found = [
        (f.severity, f.scan, f.where, f.message)
        for f in validate_dataset(dataset, tmp_path)
        if f.where != "gone.nii.gz"
    ]
    assert found == [
        ("error", "sub-01_1", "name", "2 scans have this name; rename one"),
        (
            "error",
            "sub-01_1",
            "split",
            "sub-01 is in test and train; a person belongs to one split",
        ),
        (
            "warning",
            "sub-2_1",
            "session",
            "sub-2 has a scan without a session beside scans with one",
        ),
        ("warning", "SUB_02", "subject", "SUB_02 and sub-2: the same person?"),
    ]


def test_no_scan_at_all(tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match=r"bids: .* holds no scan"):
        validate_dataset(Listed(), tmp_path)
