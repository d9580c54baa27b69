"""DICOM: real series, written here, come back as one FLAIR per study, voxel by voxel in place."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import discover
from uad_bench.system.extras import install_command
from uad_bench.volumes.files import dicom as module
from uad_bench.volumes.files.dicom import convert_dicom, is_dicom_folder

pytest.importorskip("dcm2niix")

SHAPE = (14, 12, 8)
DATA = np.random.default_rng(0).integers(1, 4000, SHAPE)


@dataclass(frozen=True)
class Protocol:
    """What a series is, as its DICOM header says; times in ms."""

    name: str = "t2_tirm_tra_dark-fluid"
    te: float | None = 100
    ti: float | None = 2500
    kinds: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "M", "ND")
    acquisition: str = "2D"


FLAIR = Protocol()
T1 = Protocol("t1_mprage_sag", te=3, ti=900, acquisition="3D")
T1_FLAIR = Protocol("Ax T1 FLAIR", te=10, ti=860)
STIR = Protocol("t2_tirm_cor_STIR", te=70, ti=160)
T2 = Protocol("t2_tse_tra", te=99, ti=None)
LOCALIZER = Protocol("localizer flair", te=5, ti=None, kinds=("ORIGINAL", "PRIMARY", "LOCALIZER"))
REFORMAT = Protocol("flair MPR cor", kinds=("DERIVED", "SECONDARY", "MPR", "NORM"))


def axes(kind: str) -> np.ndarray:
    """The affine of an acquisition, voxel to RAS+ mm, slices along the third axis."""
    size = np.diag([0.9, 1.1, 3.0])
    rotation = np.eye(3)
    if kind == "sagittal":
        rotation = np.array([[0, 0, -1], [-1, 0, 0], [0, -1, 0]], dtype=float)
    if kind == "oblique":
        a, b = np.deg2rad([17, -9])
        x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
        rotation = z @ x @ np.diag([-1, -1, 1])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rotation @ size, (21.5, -33.25, 8.75)
    return affine


def write_series(
    folder: Path,
    protocol: Protocol = FLAIR,
    *,
    patient: str = "P-01",
    study: str = "1.2.3",
    date: str = "20200102",
    number: int = 3,
    affine: np.ndarray | None = None,
    data: np.ndarray = DATA,
    preamble: bool = True,
) -> Path:
    """Write one file per slice, as a scanner does, with everything that identifies a person."""
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1, -1, 1, 1]) @ (axes("axial") if affine is None else affine)
    lengths = np.linalg.norm(lps[:3, :3], axis=0)
    series = generate_uid()
    for k in range(data.shape[2]):
        file = Dataset()
        file.SOPClassUID, file.SOPInstanceUID = MRImageStorage, generate_uid()
        file.PatientID, file.PatientName = patient, "Doe^Jane"
        file.PatientBirthDate, file.PatientSex = "19700131", "F"
        file.InstitutionName, file.StationName = "Hospital", "Scanner 7"
        file.Modality, file.Manufacturer = "MR", "SIEMENS"
        file.StudyInstanceUID, file.SeriesInstanceUID = study, series
        file.FrameOfReferenceUID = "1.2.9"
        file.SeriesNumber, file.InstanceNumber, file.AcquisitionNumber = number, k + 1, 1
        file.StudyDate = file.SeriesDate = file.AcquisitionDate = date
        file.StudyTime = file.AcquisitionTime = "101112"
        file.SeriesDescription = file.ProtocolName = protocol.name
        file.ImageType = list(protocol.kinds)
        file.ScanningSequence, file.MRAcquisitionType = "SE", protocol.acquisition
        file.RepetitionTime, file.MagneticFieldStrength = 9000, 3
        file.EchoTime, file.InversionTime = protocol.te, protocol.ti
        file.PixelSpacing = [f"{lengths[1]:.6f}", f"{lengths[0]:.6f}"]
        file.SliceThickness = file.SpacingBetweenSlices = f"{lengths[2]:.6f}"
        file.ImageOrientationPatient = numbers((lps[:3, :2] / lengths[:2]).T.ravel())
        file.ImagePositionPatient = numbers((lps @ [0, 0, k, 1])[:3])
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation = 15, 0
        file.Rows, file.Columns = data.shape[1], data.shape[0]
        file.PixelData = np.ascontiguousarray(data[..., k].T.astype("<u2")).tobytes()
        path = folder / f"IM{number:02d}{k:04d}"
        if preamble:
            file.file_meta = FileMetaDataset()
            file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            file.file_meta.MediaStorageSOPClassUID = MRImageStorage
            file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
            file.save_as(path, enforce_file_format=True)
        else:
            pydicom.dcmwrite(path, file, implicit_vr=True, little_endian=True)
    return folder


def numbers(values: Sequence[float]) -> list[str]:
    """DICOM's decimal strings have 16 characters."""
    return [f"{value:.10f}"[:16] for value in values]


def the_flair(target: Path) -> Path:
    (found,) = target.rglob("*_FLAIR.nii.gz")
    return found


def assert_same_in_space(converted: Path, data: np.ndarray, affine: np.ndarray) -> None:
    """Every voxel has its value, and its place within a hundredth of a voxel."""
    image = nib.load(converted)
    index = np.indices(data.shape).reshape(3, -1)
    there = np.linalg.inv(image.affine) @ affine @ np.vstack([index, np.ones(index.shape[1])])
    whole = np.rint(there[:3]).astype(int)
    assert np.abs(there[:3] - whole).max() < 0.01
    assert sorted(image.shape) == sorted(data.shape)
    np.testing.assert_array_equal(np.asarray(image.dataobj)[tuple(whole)], data[tuple(index)])


@pytest.mark.parametrize("kind", ["axial", "sagittal", "oblique"])
def test_every_voxel_comes_back_with_its_value_and_its_place(tmp_path: Path, kind: str) -> None:
    source = write_series(tmp_path / "dicom", affine=axes(kind))
    target = convert_dicom(source, tmp_path / "bids")
    assert_same_in_space(the_flair(target), DATA, axes(kind))


def test_a_real_scan_comes_back_in_its_place(real_patients: Path, tmp_path: Path) -> None:
    path = min((real_patients / "extra-ms-bids").glob("sub-*/**/*_FLAIR.nii.gz"))
    image = nib.load(path)
    data = np.clip(np.rint(image.get_fdata()), 0, 65535).astype(int)
    source = write_series(tmp_path / "dicom", affine=image.affine, data=data)
    assert_same_in_space(the_flair(convert_dicom(source, tmp_path / "bids")), data, image.affine)


def test_the_flair_is_found_among_everything_a_study_has(tmp_path: Path) -> None:
    source = tmp_path / "dicom"
    others = (T1, T1_FLAIR, STIR, T2, LOCALIZER, REFORMAT)
    for number, protocol in enumerate(others, start=1):
        write_series(source / f"s{number}", protocol, number=number, data=DATA[::-1])
    write_series(source / "deep" / "er", FLAIR, number=9)
    target = convert_dicom(source, tmp_path / "bids")
    assert the_flair(target) == target / "sub-P01" / "anat" / "sub-P01_FLAIR.nii.gz"
    assert sorted(np.asarray(nib.load(the_flair(target)).dataobj).ravel()) == sorted(DATA.ravel())
    sidecar = json.loads((target / "sub-P01" / "anat" / "sub-P01_FLAIR.json").read_text())
    assert (sidecar["EchoTime"], sidecar["InversionTime"]) == (0.1, 2.5)
    assert sidecar["ProtocolName"] == FLAIR.name


@pytest.mark.parametrize(
    ("protocol", "is_flair"),
    [
        (Protocol("t2_spc_da-fl_irprep_sag", te=388, ti=1800, acquisition="3D"), True),
        (Protocol("x", te=120, ti=2200), True),
        (Protocol("Ax FLAIR", te=120, ti=None), True),
        (Protocol("Ax FLAIR", te=None, ti=None), True),
        (Protocol("Ax T1 FLAIR", te=None, ti=None), False),
        (Protocol("Ax FLAIR", te=10, ti=None), False),
        (Protocol("space_dir_sag", te=330, ti=3000), False),
        (Protocol("mp2rage", te=3, ti=2500), False),
        (T2, False),
        (STIR, False),
    ],
)
def test_what_counts_as_flair(tmp_path: Path, protocol: Protocol, is_flair: bool) -> None:
    source = write_series(tmp_path / "dicom", protocol)
    if is_flair:
        assert the_flair(convert_dicom(source, tmp_path / "bids")).is_file()
    else:
        with pytest.raises(UadBenchError, match="no whole FLAIR"):
            convert_dicom(source, tmp_path / "bids")


def test_nothing_that_identifies_a_person_is_carried_over(tmp_path: Path) -> None:
    target = convert_dicom(write_series(tmp_path / "dicom"), tmp_path / "bids")
    text = "".join(path.read_text() for path in target.rglob("*.json"))
    image = nib.load(the_flair(target))
    header = bytes(image.header.binaryblock) + b"".join(
        extension.get_content() for extension in image.header.extensions
    )
    for secret in (
        "Doe",
        "Jane",
        "1970",
        "2020",
        "10:11",
        "1011",
        "Hospital",
        "Scanner 7",
        "1.2.3",
    ):
        assert secret not in text
        assert secret.encode() not in header


def test_no_flair_is_one_line_that_lists_what_there_is(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom" / "a", T1, number=2)
    write_series(tmp_path / "dicom" / "b", T2, number=5)
    with pytest.raises(UadBenchError) as caught:
        convert_dicom(tmp_path / "dicom", tmp_path / "bids")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "sub-P01",
        "no whole FLAIR",
        "2 't1_mprage_sag' (TE 0.003 s, TI 0.9 s)",
        "5 't2_tse_tra",
    ):
        assert part in message
    assert list(tmp_path.iterdir()) == [tmp_path / "dicom"]


def test_two_flair_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom" / "a", FLAIR, number=4)
    write_series(tmp_path / "dicom" / "b", FLAIR, number=7)
    with pytest.raises(UadBenchError, match=r"several FLAIR .*: 4 't2_tirm.*; 7 't2_tirm"):
        convert_dicom(tmp_path / "dicom", tmp_path / "bids")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Protocol(acquisition="3D"), Protocol(kinds=("ORIGINAL", "PRIMARY", "M", "NORM"))),
        (Protocol(kinds=("ORIGINAL", "PRIMARY", "M", "ND", "NORM")), FLAIR),
        (Protocol(kinds=("ORIGINAL", "PRIMARY", "M", "DIS2D")), FLAIR),
    ],
    ids=["3D", "evened out", "undistorted"],
)
def test_the_better_of_two_flair_is_taken(
    tmp_path: Path, better: Protocol, worse: Protocol
) -> None:
    write_series(tmp_path / "dicom" / "a", worse, number=4, data=DATA[:, :, :4])
    write_series(tmp_path / "dicom" / "b", better, number=7)
    target = convert_dicom(tmp_path / "dicom", tmp_path / "bids")
    assert sorted(nib.load(the_flair(target)).shape) == sorted(SHAPE)


def test_patients_and_studies_become_subjects_and_sessions_that_the_adapter_reads(
    tmp_path: Path,
) -> None:
    source = tmp_path / "dicom"
    write_series(source / "one", patient="MS_007/b", study="1.2.1")
    write_series(source / "late", patient="A 12", study="1.2.2", date="20220101")
    write_series(source / "early", patient="A 12", study="1.2.3", date="20190101", data=DATA // 2)
    target = convert_dicom(source, tmp_path / "bids")
    scans = list(discover().dataset("bids")().scans(target))
    assert [scan.name for scan in scans] == ["sub-A12_ses-01", "sub-A12_ses-02", "sub-MS007b"]
    assert nib.load(scans[0].flair).get_fdata().max() == (DATA // 2).max()
    assert json.loads((target / "dataset_description.json").read_text())["BIDSVersion"]


def test_two_patients_of_one_name_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom" / "a", patient="12-3", study="1.2.1")
    write_series(tmp_path / "dicom" / "b", patient="1-23", study="1.2.2")
    with pytest.raises(UadBenchError, match="'1-23' and '12-3' would both be sub-123"):
        convert_dicom(tmp_path / "dicom", tmp_path / "bids")


def test_without_patient_id_one_study_is_fine_and_two_are_not(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom" / "a", patient="", study="1.2.1")
    target = convert_dicom(tmp_path / "dicom", tmp_path / "bids")
    assert the_flair(target).name == "sub-anonymous_FLAIR.nii.gz"
    write_series(tmp_path / "dicom" / "b", patient="", study="1.2.2")
    with pytest.raises(UadBenchError, match="2 studies have no PatientID"):
        convert_dicom(tmp_path / "dicom", tmp_path / "more")


def test_a_study_without_flair_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom" / "a", T1, patient="p1", study="1.2.1")
    write_series(tmp_path / "dicom" / "b", FLAIR, patient="p2", study="1.2.2")
    told: list[str] = []
    target = convert_dicom(tmp_path / "dicom", tmp_path / "bids", on_problem=told.append)
    assert the_flair(target).name == "sub-p2_FLAIR.nii.gz"
    assert len(told) == 1
    assert "sub-p1: no whole FLAIR" in told[0]


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_missing_slice_is_found_for_the_gap_would_shift_the_rest(
    tmp_path: Path, is_signed: bool
) -> None:
    source = write_series(tmp_path / "dicom")
    (source / "IM030003").unlink()
    for path in source.iterdir():
        file = pydicom.dcmread(path)
        file.PixelRepresentation = int(is_signed)
        file.save_as(path)
    with pytest.raises(UadBenchError):
        convert_dicom(source, tmp_path / "bids")
    write_series(source / "other", patient="p2", study="1.2.8")
    told: list[str] = []
    target = convert_dicom(source, tmp_path / "bids", on_problem=told.append)
    assert the_flair(target).name == "sub-p2_FLAIR.nii.gz"
    assert "sub-P01: no whole FLAIR" in told[-1]
    assert "slices are missing" in told[-1]


def test_a_cut_file_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    source = write_series(tmp_path / "dicom" / "a")
    write_series(tmp_path / "dicom" / "b", patient="p2", study="1.2.8")
    cut = source / "IM030003"
    cut.write_bytes(cut.read_bytes()[:-100])
    told: list[str] = []
    target = convert_dicom(tmp_path / "dicom", tmp_path / "bids", on_problem=told.append)
    assert the_flair(target).name == "sub-p2_FLAIR.nii.gz"
    assert "could not convert everything" in told[0]
    assert "IM030003" in told[0]


def test_where_no_study_can_be_used_nothing_is_made(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", T1)
    with pytest.raises(
        UadBenchError, match="no study can be used; the first: sub-P01: no whole FLAIR"
    ):
        convert_dicom(tmp_path / "dicom", tmp_path / "bids", on_problem=lambda _: None)
    assert not (tmp_path / "bids").exists()


def test_an_existing_target_is_left_alone(tmp_path: Path) -> None:
    source = write_series(tmp_path / "dicom")
    (tmp_path / "bids").mkdir()
    with pytest.raises(UadBenchError, match="exists"):
        convert_dicom(source, tmp_path / "bids")


def test_a_folder_without_dicom_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "notes.txt").write_text("hello" * 100)
    with pytest.raises(UadBenchError, match="dcm2niix converts nothing") as caught:
        convert_dicom(tmp_path / "dicom", tmp_path / "bids")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "bids").exists()


def test_without_dcm2niix_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(module, "import_module", absent)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    with pytest.raises(UadBenchError, match=re.escape(install_command("prepare"))):
        convert_dicom(tmp_path, tmp_path / "bids")


def test_a_dicom_folder_is_known_by_content(tmp_path: Path) -> None:
    assert is_dicom_folder(write_series(tmp_path / "a" / "deep").parent)
    assert is_dicom_folder(write_series(tmp_path / "b", preamble=False))
    assert not is_dicom_folder(tmp_path / "a" / "deep" / "IM030000")
    assert not is_dicom_folder(tmp_path / "absent")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "IM0001.dcm").write_text("no DICOM at all, only its name" * 10)
    assert not is_dicom_folder(tmp_path / "text")
    (tmp_path / "a" / "FLAIR.nii.gz").touch()
    assert not is_dicom_folder(tmp_path / "a")


def test_files_without_preamble_are_converted(tmp_path: Path) -> None:
    source = write_series(tmp_path / "dicom", preamble=False)
    assert the_flair(convert_dicom(source, tmp_path / "bids")).is_file()


def test_real_datasets_are_not_taken_for_dicom(real_patients: Path) -> None:
    for name in ("MSLUB", "extra-ms-bids"):
        assert not is_dicom_folder(real_patients / name)
