"""BraTS is read in every release, by names only."""

from pathlib import Path

import pytest
from made_datasets import read, relative, touch

from uad_bench.errors import UadBenchError


@pytest.mark.parametrize(
    ("flair", "mask", "subject", "session"),
    [
        (
            "HGG/Brats18_TCIA01_001_1/Brats18_TCIA01_001_1_flair.nii.gz",
            "HGG/Brats18_TCIA01_001_1/Brats18_TCIA01_001_1_seg.nii.gz",
            "Brats18_TCIA01_001_1",
            None,
        ),
        (
            "data/LGG/BraTS19_2013_0_1/BraTS19_2013_0_1_flair.nii",
            "data/LGG/BraTS19_2013_0_1/BraTS19_2013_0_1_seg.nii",
            "BraTS19_2013_0_1",
            None,
        ),
        (
            "BraTS20_Training_001/BraTS20_Training_001_flair.nii",
            "BraTS20_Training_001/BraTS20_Training_001_seg.nii",
            "BraTS20_Training_001",
            None,
        ),
        (
            "BraTS20_Training_355/BraTS20_Training_355_flair.nii.gz",
            "BraTS20_Training_355/W39_1998.09.19_Segm.nii.gz",
            "BraTS20_Training_355",
            None,
        ),
        (
            "BraTS2021_00000/BraTS2021_00000_flair.nii.gz",
            "BraTS2021_00000/BraTS2021_00000_seg.nii.gz",
            "BraTS2021_00000",
            None,
        ),
        (
            "BraTS-GLI-00005-001/BraTS-GLI-00005-001-t2f.nii.gz",
            "BraTS-GLI-00005-001/BraTS-GLI-00005-001-seg.nii.gz",
            "BraTS-GLI-00005",
            "001",
        ),
    ],
)
def test_brats_reads_every_release(
    tmp_path: Path, flair: str, mask: str, subject: str, session: str | None
) -> None:
    touch(tmp_path, flair, mask)
    (scan,) = read("brats", tmp_path)
    assert relative(tmp_path, scan) == (flair, mask)
    assert (scan.subject, scan.session, scan.split, scan.space) == (
        subject,
        session,
        "test",
        "sri24",
    )


def test_brats_whole_tumour_is_every_label_but_a_resection_cavity(tmp_path: Path) -> None:
    touch(tmp_path, "old/Brats18_2013_0_1/x", "new/BraTS-GLI-02063-100/x")
    (old,) = read("brats", tmp_path / "old")
    (new,) = read("brats", tmp_path / "new")
    assert (old.lesion_labels, old.ignore_labels) == ({1, 2, 3, 4}, frozenset())
    assert (new.lesion_labels, new.ignore_labels) == ({1, 2, 3}, {4})


@pytest.mark.parametrize(
    ("case", "ignored"),
    [
        ("BraTS-GLI-00000-000", frozenset()),
        ("BraTS-GLI-00000-001", frozenset()),
        ("BraTS-GLI-02063-100", {4}),
        ("BraTS-GLI-02063-106", {4}),
    ],
)
def test_label_4_is_a_resection_cavity_only_after_treatment(
    tmp_path: Path, case: str, ignored: frozenset[int]
) -> None:
    touch(tmp_path, f"{case}/x")
    (scan,) = read("brats", tmp_path)
    assert (scan.lesion_labels, scan.ignore_labels) == ({1, 2, 3}, ignored)
    assert ("take names and masks from one release" in scan.label_advice) == (not ignored)


def test_brats_time_points_of_one_person_are_one_subject(tmp_path: Path) -> None:
    touch(tmp_path, *(f"BraTS-GLI-00005-00{time}/x" for time in range(2)))
    scans = read("brats", tmp_path)
    assert [(scan.subject, scan.session) for scan in scans] == [
        ("BraTS-GLI-00005", "000"),
        ("BraTS-GLI-00005", "001"),
    ]
    assert len({scan.name for scan in scans}) == 2


def test_brats_leaves_out_cases_for_validation_which_have_no_masks(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "MICCAI_BraTS_2018_Data_Validation/Brats18_CBICA_AAM_1/Brats18_CBICA_AAM_1_flair.nii.gz",
        "BraTS20_Validation_001/BraTS20_Validation_001_flair.nii.gz",
        "HGG/Brats18_CBICA_AAB_1/Brats18_CBICA_AAB_1_flair.nii.gz",
    )
    assert [scan.subject for scan in read("brats", tmp_path)] == ["Brats18_CBICA_AAB_1"]


def test_brats_releases_that_share_patients_are_not_mixed(tmp_path: Path) -> None:
    touch(tmp_path, "a/Brats18_2013_0_1/x", "b/BraTS2021_00000/x")
    with pytest.raises(UadBenchError, match=r"mixes the BraTS releases BraTS2021, Brats18"):
        read("brats", tmp_path)


def test_brats_a_release_in_two_spellings_is_one_release(tmp_path: Path) -> None:
    touch(tmp_path, "HGG/Brats18_2013_0_1/x", "HGG/BRATS18_2013_2_1/x")
    assert len(read("brats", tmp_path)) == 2
