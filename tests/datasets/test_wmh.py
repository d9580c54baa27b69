"""WMH is read in both releases, by names only."""

from pathlib import Path

import pytest
from made_datasets import read, relative, touch

from uad_bench.errors import UadBenchError


@pytest.mark.parametrize(
    ("amsterdam", "level"),
    [
        ("GE3T", ""),
        ("Amsterdam/GE3T", "training/"),
        ("Amsterdam/GE3T", "dataverse_files/training/"),
    ],
)
def test_wmh_reads_both_releases_with_their_sites(
    tmp_path: Path, amsterdam: str, level: str
) -> None:
    cases = {
        f"{level}{amsterdam}/100": ("Amsterdam-GE3T-100", "Amsterdam-GE3T"),
        f"{level}Singapore/50": ("Singapore-50", "Singapore"),
        f"{level}Utrecht/0": ("Utrecht-0", "Utrecht"),
        f"{level}Utrecht/11": ("Utrecht-11", "Utrecht"),
    }
    for case in cases:
        touch(tmp_path, f"{case}/pre/FLAIR.nii.gz", f"{case}/orig/FLAIR.nii.gz")
        touch(tmp_path, f"{case}/wmh.nii.gz")
    scans = read("wmh", tmp_path)
    assert [(scan.subject, scan.site) for scan in scans] == list(cases.values())
    assert [relative(tmp_path, scan) for scan in scans] == [
        (f"{case}/pre/FLAIR.nii.gz", f"{case}/wmh.nii.gz") for case in cases
    ]


def test_wmh_label_2_is_neither_lesion_nor_healthy(tmp_path: Path) -> None:
    touch(tmp_path, "Utrecht/0/wmh.nii.gz")
    (scan,) = read("wmh", tmp_path)
    assert (scan.lesion_labels, scan.ignore_labels) == ({1}, {2})


def test_wmh_takes_the_training_part_and_no_second_opinions(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "additional_annotations/observer_o3/training/Utrecht/0/result.nii.gz",
        "test/Amsterdam/Philips_VU .PETMR_01./161/pre/FLAIR.nii.gz",
        "training/Utrecht/0/pre/FLAIR.nii.gz",
    )
    assert [scan.subject for scan in read("wmh", tmp_path)] == ["Utrecht-0"]


@pytest.mark.parametrize("training", ["Training/", "TRAINING/", ""])
@pytest.mark.parametrize("test", ["test", "Test"])
def test_wmh_never_reads_the_test_part_beside_the_training_part(
    tmp_path: Path, training: str, test: str
) -> None:
    touch(tmp_path, f"{training}Utrecht/0/pre/FLAIR.nii.gz", f"{test}/Utrecht/5/pre/FLAIR.nii.gz")
    assert [scan.subject for scan in read("wmh", tmp_path)] == ["Utrecht-0"]


def test_wmh_reads_the_five_scanners_of_the_test_part_when_asked(tmp_path: Path) -> None:
    sites = ("Amsterdam/GE1T5", "Amsterdam/GE3T", "Amsterdam/Philips_VU .PETMR_01.")
    touch(tmp_path, *(f"{site}/1/pre/FLAIR.nii.gz" for site in (*sites, "Singapore", "Utrecht")))
    scans = read("wmh", tmp_path)
    assert len({scan.site for scan in scans}) == 5 == len({scan.subject for scan in scans})


def test_a_volume_that_is_there_compressed_and_plain_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "Utrecht/0/pre/FLAIR.nii.gz", "Utrecht/0/pre/FLAIR.nii", "Utrecht/0/wmh.nii")
    with pytest.raises(UadBenchError, match=r"FLAIR\.nii\.gz and FLAIR\.nii: keep one"):
        read("wmh", tmp_path)


def test_linked_folders_are_read_and_loops_of_links_end(tmp_path: Path) -> None:
    touch(tmp_path, "store/0/pre/FLAIR.nii.gz", "store/0/wmh.nii.gz")
    (tmp_path / "wmh").mkdir()
    (tmp_path / "wmh/Utrecht").symlink_to(tmp_path / "store")
    (tmp_path / "wmh/loop").symlink_to(tmp_path / "wmh")
    (scan,) = read("wmh", tmp_path / "wmh")
    assert (scan.subject, scan.flair.is_file()) == ("Utrecht-0", True)
