"""Validation: every fault of a dataset is found at once, in one line, and sound datasets pass."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from uad_bench import prepare
from uad_bench.cli import main
from uad_bench.dataset import Dataset, Scan
from uad_bench.errors import UadBenchError
from uad_bench.volumes.checks.appearance import deep_to_rim, lesion_contrasts, skewness
from uad_bench.volumes.checks.findings import Finding
from uad_bench.volumes.checks.validate import validate_dataset
from uad_bench.volumes.grid import mirrored


def adapter(name: str) -> Dataset:
    dataset = getattr(import_module(f"uad_bench.datasets.{name}"), name.capitalize())()
    assert isinstance(dataset, Dataset)
    return dataset


def check(root: Path, name: str = "mslub") -> tuple[Finding, ...]:
    return validate_dataset(adapter(name), root)


def serious(root: Path, name: str = "mslub") -> list[tuple[str, str, str, str]]:
    """Errors and warnings as plain tuples."""
    return [
        (found.severity, found.scan, found.where, found.message)
        for found in check(root, name)
        if found.severity != "note"
    ]


def the_one(root: Path, name: str = "mslub") -> tuple[str, str, str, str]:
    (only,) = serious(root, name)
    return only


def notes(root: Path, name: str = "mslub") -> list[str]:
    return [f.message for f in check(root, name) if f.severity == "note"]


def edit(
    path: Path,
    change: Callable[[np.ndarray], np.ndarray] = lambda data: data,
    affine: np.ndarray | None = None,
) -> None:
    image = nib.load(path)
    data = change(np.array(image.dataobj))
    moved = nib.Nifti1Image(data, image.affine if affine is None else affine)
    moved.set_sform(moved.affine, 4)
    nib.save(moved, path)


def shifted(x: float, y: float, z: float) -> np.ndarray:
    """An affine that moves by so many voxels."""
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


@pytest.fixture
def mslub(lab: Path, tmp_path: Path) -> Path:
    """Three patients to be spoilt: patient11, patient12, patient13."""
    return shutil.copytree(lab / "MSLUB", tmp_path / "MSLUB")


@pytest.fixture
def hi(lab: Path, tmp_path: Path) -> Path:
    """Six healthy people to be spoilt: sub-001 to sub-006, the last two for validation."""
    return shutil.copytree(lab / "HI", tmp_path / "HI")


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


# --- the command -----------------------------------------------------------------------------


def test_the_command_by_folder_name_and_path(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        [str(lab / "MSLUB")],
        ["mslub", "--data-root", str(lab)],
        [f"mslub:{lab / 'MSLUB'}"],
    ):
        assert main(["validate", *arguments]) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[-1] == "no errors, no warnings, 4 notes in 3 scans of mslub"
        assert len({line.index("thick") for line in out if "thick" in line}) == 1
    other = tmp_path / "my-dataset"
    shutil.copytree(lab / "HI", other)
    assert main(["validate", str(other)]) == 0
    assert capsys.readouterr().out.endswith("in 6 scans of bids\n")


def test_the_command_exits_with_1_for_errors(
    mslub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mslub / "patient12/FLAIR.nii.gz").unlink()
    assert main(["validate", str(mslub)]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.split() == [
        *("error", "patient12", "patient12/FLAIR.nii.gz", "no", "such", "file;"),
        *("complete", "the", "dataset's", "folder"),
    ]
    assert last == "1 error, no warnings, 3 notes in 3 scans of mslub"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such/folder"], "is no folder"),
        (["mslub"], "no data root is set"),
        (["bids"], "name one, as bids:PATH"),
        (["bids:/no/such/folder"], "is no folder"),
        (["mslug"], "Did you mean 'mslub'?"),
        (["{empty}"], "holds no scan in the layout of bids, brats"),
        (["msi", "--data-root", "{lab}"], "no folder"),
        (["{lab}"], "holds datasets; name one: hi:"),
    ],
)
def test_bad_usage_is_one_line(
    lab: Path,
    tmp_path: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [argument.format(lab=lab, empty=tmp_path) for argument in arguments]
    assert main(["validate", *given]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error
