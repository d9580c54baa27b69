"""A mask that cannot be that of its FLAIR is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from checked_datasets import edit, notes, serious, the_one
from made_datasets import adapter

from uad_bench import prepare
from uad_bench.cli import main
from uad_bench.volumes.checks.validate import validate_dataset


def shifted(x: float, y: float, z: float) -> np.ndarray:
    """An affine that moves by so many voxels."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def test_a_mask_on_another_grid_is_noted_or_refused(mslub: Path) -> None:
    path = mslub / "patient11/consensus_gt.nii.gz"
    affine = nib.load(path).affine @ np.array(
        [[-1, 0, 0, nib.load(path).shape[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    edit(path, lambda mask: mask[::-1], affine)  # stored the other way round: the same mask
    assert serious(mslub) == []
    assert not any("grid" in message for message in notes(mslub))
    edit(path, lambda mask: np.pad(mask, 1), affine @ shifted(-1, -1, -1))
    assert serious(mslub) == []
    assert "lies on another grid (52 x 61 x 50) than the FLAIR" in notes(mslub)
    edit(path, lambda mask: mask, affine @ shifted(21, 21, 21))
    severity, _, where, message = the_one(mslub)
    assert (severity, where) == ("error", "patient11/consensus_gt.nii.gz")
    assert "is not that of FLAIR.nii.gz" in message


@pytest.mark.parametrize("shift", [1.5, 5.0, 20.0])
def test_a_mask_whose_header_moves_it_is_an_error(mslub: Path, shift: float) -> None:
    """The voxels are the FLAIR's and only the header differs: never moved in silence."""
    path = mslub / "patient11/consensus_gt.nii.gz"
    affine = nib.load(path).affine.copy()
    affine[0, 3] += shift
    edit(path, affine=affine)
    severity, _, where, message = the_one(mslub)
    assert (severity, where) == ("error", "patient11/consensus_gt.nii.gz")
    assert f"up to {shift:g} mm away" in message
    assert f"--mask-shift {shift:g}" in message


def test_a_known_shift_of_a_mask_may_be_allowed(mslub: Path) -> None:
    path = mslub / "patient11/consensus_gt.nii.gz"
    affine = nib.load(path).affine.copy()
    affine[0, 3] += 1.5
    edit(path, affine=affine)
    found = validate_dataset(adapter("mslub"), mslub, mask_shift=1.5)
    (only,) = (f for f in found if f.severity != "note")
    assert only.severity == "warning"
    assert "up to 1.5 mm away; laid voxel on voxel" in only.message
    command = ["validate", f"mslub:{mslub}"]
    assert main(command) == 1
    assert main([*command, "--mask-shift", "1.5"]) == 0


def test_unexpected_labels(lab: Path, tmp_path: Path) -> None:
    root = shutil.copytree(lab / "WMH", tmp_path / "WMH")
    (mask, _) = sorted(root.glob("**/wmh.nii.gz"))
    edit(mask, lambda labels: labels * 7)
    severity, _, _, message = the_one(root, "wmh")
    assert severity == "error"
    assert "unexpected labels 7" in message


def glioma(mslub: Path, root: Path, time: str, numbering: dict[str, tuple[int, int]]) -> Path:
    """Patients under the names of BraTS-GLI; each has two labels in the halves of its lesion."""
    for patient, (low, high) in numbering.items():
        case = f"BraTS-GLI-000{patient[-2:]}-{time}"
        (root / case).mkdir(parents=True)
        shutil.copy(mslub / patient / "FLAIR.nii.gz", root / case / f"{case}-t2f.nii.gz")
        mask = shutil.copy(
            mslub / patient / "consensus_gt.nii.gz", root / case / f"{case}-seg.nii.gz"
        )

        def halves(lesion: np.ndarray, labels: tuple[int, int] = (low, high)) -> np.ndarray:
            upper = np.arange(lesion.shape[2]) > np.argwhere(lesion)[:, 2].mean()
            return (lesion * np.where(upper, *labels[::-1])).astype(np.uint8)

        edit(Path(mask), halves)
    return root


def test_label_4_in_a_glioma_before_treatment_is_an_error(mslub: Path, tmp_path: Path) -> None:
    root = glioma(mslub, tmp_path / "brats", "000", {"patient11": (2, 4), "patient12": (2, 3)})
    severity, scan, _, message = the_one(root, "brats")
    assert (severity, scan) == ("error", "BraTS-GLI-00011_000")
    assert "unexpected labels 4 (expected 0, 1, 2, 3); 4 is enhancing tumour up to" in message


def test_a_probability_map_in_whole_numbers(mslub: Path, tmp_path: Path) -> None:
    for kind, name in (("FLAIR", "FLAIR"), ("mask", "consensus_gt")):
        label = "" if kind == "FLAIR" else "label-lesion_"
        file = tmp_path / f"clinic/sub-01/anat/sub-01_{label}{kind}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mslub / f"patient12/{name}.nii.gz", file)
    assert serious(tmp_path / "clinic", "bids") == []
    edit(file, lambda lesion: (lesion * (1 + np.indices(lesion.shape).sum(0) % 99)).astype("u1"))
    severity, _, where, message = the_one(tmp_path / "clinic", "bids")
    assert (severity, where) == ("error", "sub-01/anat/sub-01_label-lesion_mask.nii.gz")
    assert "a probability map? Binarise it" in message


def test_a_resection_cavity_is_asked_about_where_no_mask_has_enhancing_tumour(
    mslub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = glioma(mslub, tmp_path / "old", "100", {"patient11": (2, 4), "patient12": (1, 2)})
    severity, scan, _, message = the_one(old, "brats")
    assert (severity, scan) == ("warning", "brats")
    assert message.startswith("label 4 is ignored, and 3 is in no mask: are these masks numbered")
    prepare(f"brats:{old}", cache=tmp_path / "cache", jobs=1)
    assert f"brats-old: {message}" in capsys.readouterr().err, "a run tells it too"
    new = {"patient11": (2, 4), "patient12": (1, 3)}
    assert not serious(glioma(mslub, tmp_path / "new", "100", new), "brats")


def test_a_lesion_outside_the_brain(mslub: Path) -> None:
    """Away from the middle, so that its mirror image is outside as well."""

    def corner(mask: np.ndarray) -> np.ndarray:
        moved = np.zeros_like(mask)
        moved[1:4, 1:4, 1:4] = 1
        return moved

    edit(mslub / "patient12/consensus_gt.nii.gz", corner)
    severity, _, _, message = the_one(mslub)
    assert severity == "error"
    assert message.startswith("100% of the lesion lies outside the brain")


def test_a_mask_that_is_the_brains(mslub: Path) -> None:
    folder = mslub / "patient12"
    shutil.copy(folder / "brainmask.nii.gz", folder / "consensus_gt.nii.gz")
    severity, _, _, message = the_one(mslub)
    assert severity == "error"
    assert "fills 100% of the brain" in message


def test_a_mirrored_mask_in_miniature(mslub: Path) -> None:
    """The lesion of a symmetric brain lies in it from both sides: only its contrast tells."""
    edit(mslub / "patient11/consensus_gt.nii.gz", lambda mask: mask[::-1])
    severity, _, where, message = the_one(mslub)
    assert (severity, where) == ("warning", "patient11/consensus_gt.nii.gz")
    assert "left and right of the mask are exchanged" in message


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "name", "mask"),
    [
        ("MSLUB", "mslub", "patient19/consensus_gt.nii.gz"),
        ("BraTS/HGG", "brats", "Brats18_2013_5_1/Brats18_2013_5_1_seg.nii.gz"),
    ],
)
def test_a_mirrored_mask_of_a_real_patient(
    real_patients: Path, tmp_path: Path, folder: str, name: str, mask: str
) -> None:
    """The lowest contrast as it is, and the highest when mirrored; unmirrored, both pass above."""
    patient = Path(mask).parent
    target = tmp_path / patient
    target.mkdir()
    for source in (real_patients / folder / patient).glob("*.nii.gz"):
        (target / source.name).write_bytes(source.read_bytes())
    edit(tmp_path / mask, lambda labels: labels[::-1])
    severity, _, _, message = the_one(tmp_path, name)
    assert severity == "warning"
    assert "left and right of the mask are exchanged" in message


def test_a_mirrored_mask_that_misses_the_brain(mslub: Path) -> None:
    """In a field of view that is not symmetric, mirroring takes a lesion off the brain."""
    for name in ("FLAIR", "brainmask", "consensus_gt"):
        path = mslub / f"patient11/{name}.nii.gz"
        edit(path, lambda data: np.pad(data, ((60, 0), (0, 0), (0, 0))))
    assert serious(mslub) == []
    edit(mslub / "patient11/consensus_gt.nii.gz", lambda mask: mask[::-1])
    severity, _, _, message = serious(mslub)[0]
    assert severity == "error"
    assert "lies outside the brain: left and right" in message
