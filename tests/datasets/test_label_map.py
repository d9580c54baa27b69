"""A tissue label map means what its dseg.tsv says, or BIDS; a wrong order is never believed."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from uad_bench.datasets.bids import Bids

from uad_bench.dataset import Scan
from uad_bench.errors import ScanError, UadBenchError
from uad_bench.volumes.checks.scan_checks import check_scan
from uad_bench.volumes.steps.label_map import read_table
from uad_bench.volumes.steps.read import load_scan

BRIGHTNESS = {"CSF": 40.0, "GM": 120.0, "WM": 100.0}
CODES = {"CSF": 1, "GM": 2, "WM": 3}
STEM = "sub-01/anat/sub-01_space-MNI152NLin6Asym"
TABLE = "index\tname\n{}\tCSF\n{}\tGM\n{}\tWM\n"


@pytest.fixture
def anatomy() -> np.ndarray:
    """A box of 1 CSF, 2 GM, 3 WM in a background of 0."""
    tissues = np.zeros((12, 12, 12), np.uint8)
    tissues[2:10, 2:10, 2:10] = np.random.default_rng(0).integers(1, 4, (8, 8, 8))
    return tissues


def make(root: Path, anatomy: np.ndarray, numbers: tuple[int, ...]) -> Scan:
    """A dataset of one person whose map numbers CSF, GM and WM by ``numbers``; its scan."""
    flair = np.choose(anatomy, [0.0, *BRIGHTNESS.values()]) + np.random.default_rng(1).normal(
        0, 4, anatomy.shape
    ) * (anatomy > 0)
    labels = np.choose(anatomy, [0, *numbers]).astype(np.uint8)
    for name, data in (("desc-brain_FLAIR", flair.astype(np.float32)), ("dseg", labels)):
        path = root / f"{STEM}_{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, np.diag([4.0, 4.0, 4.0, 1.0])), path)
    return scan_of(root)


def scan_of(root: Path) -> Scan:
    (scan,) = Bids().scans(root)
    return replace(scan, healthy=True)


def tissues_of(scan: Scan) -> np.ndarray:
    tissues = load_scan(scan).tissues
    assert tissues is not None
    return tissues


def refused(scan: Scan) -> str:
    """What a run and ``validate`` both say."""
    with pytest.raises(ScanError) as caught:
        load_scan(scan)
    found = check_scan(scan, Path("/")).findings
    (finding,) = (each for each in found if each.where.endswith("dseg.nii.gz"))
    assert finding.severity == "error"
    told = str(caught.value)
    assert "\n" not in told
    assert told.endswith(finding.message)
    return told


def test_without_a_table_labels_are_those_of_bids(tmp_path: Path, anatomy: np.ndarray) -> None:
    scan = make(tmp_path, anatomy, (3, 1, 2))
    assert scan.tissue_table is None
    np.testing.assert_array_equal(tissues_of(scan), anatomy)


@pytest.mark.parametrize("numbers", [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1)])
def test_without_a_table_another_tissue_in_the_place_of_csf_is_refused(
    tmp_path: Path, anatomy: np.ndarray, numbers: tuple[int, ...]
) -> None:
    told = refused(make(tmp_path, anatomy, numbers))
    assert "CSF is brighter in the FLAIR" in told
    assert "BIDS numbers 1 GM, 2 WM, 3 CSF" in told


@pytest.mark.parametrize("numbers", permutations((1, 2, 3)))
def test_a_table_says_what_labels_mean(
    tmp_path: Path, anatomy: np.ndarray, numbers: tuple[int, ...]
) -> None:
    (tmp_path / "dseg.tsv").write_text(TABLE.format(*numbers))
    np.testing.assert_array_equal(tissues_of(make(tmp_path, anatomy, numbers)), anatomy)


def test_a_table_that_calls_bright_tissue_csf_is_refused(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    (tmp_path / "dseg.tsv").write_text(TABLE.format(1, 2, 3))
    assert "dseg.tsv says" in refused(make(tmp_path, anatomy, (3, 1, 2)))


def test_a_label_that_the_table_does_not_explain_is_refused(
    tmp_path: Path, anatomy: np.ndarray
) -> None:
    (tmp_path / "dseg.tsv").write_text(TABLE.format(1, 2, 3) + "10\tLeft-Thalamus\n")
    anatomy[5, 5, 5] = 3
    assert "unexpected labels 10" in refused(make(tmp_path, anatomy, (1, 2, 10)))


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["dseg.tsv", f"{STEM}_dseg.tsv"], f"{STEM}_dseg.tsv"),
        (["dseg.tsv", "space-MNI152NLin6Asym_dseg.tsv"], "space-MNI152NLin6Asym_dseg.tsv"),
        (["dseg.tsv", "sub-01/dseg.tsv"], "sub-01/dseg.tsv"),
        (["desc-aseg_dseg.tsv", "space-T1w_dseg.tsv", "sub-02/dseg.tsv", "../dseg.tsv"], None),
    ],
)
def test_the_nearest_table_that_fits_counts(
    tmp_path: Path, anatomy: np.ndarray, names: list[str], taken: str | None
) -> None:
    root = tmp_path / "dataset"
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(TABLE.format(3, 1, 2))
    scan = make(root, anatomy, (3, 1, 2))
    assert scan.tissue_table == (None if taken is None else root / taken)


def test_two_tables_that_fit_as_well_are_refused(tmp_path: Path, anatomy: np.ndarray) -> None:
    make(tmp_path, anatomy, (3, 1, 2))
    for name in ("sub-01_dseg.tsv", "space-MNI152NLin6Asym_dseg.tsv"):
        (tmp_path / name).write_text(TABLE.format(3, 1, 2))
    with pytest.raises(UadBenchError, match=r"may both say what the labels of .* mean; keep one"):
        scan_of(tmp_path)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (TABLE.format(7, 8, 9), {0: 0, 7: 1, 8: 2, 9: 3}),
        (
            "Index\tAbbreviation\tname\n1\tGM\tgrey\n2\tWM\tx\n3\tCSF\ty\n4\tB\tBone\n",
            {0: 0, 1: 2, 2: 3, 3: 1, 4: 0},
        ),
        (
            "index\tname\tmapping\n5\tinner\t3\n6\tcortical\t8\n7\tnuclei\t9\n8\trest\t2\n",
            {0: 0, 5: 1, 6: 2, 7: 2, 8: 3},
        ),
        (
            "\ufeffindex\tname\n1\tCerebrospinal Fluid\n2\tGrey Matter\n3\tWhite-Matter\n9\tx\n",
            {0: 0, 1: 1, 2: 2, 3: 3},
        ),
    ],
)
def test_what_a_table_says(tmp_path: Path, text: str, known: dict[int, int]) -> None:
    (tmp_path / "dseg.tsv").write_text(text, encoding="utf-8")
    assert read_table(tmp_path / "dseg.tsv") == known


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "needs the columns index and name"),
        (b"index,name\n1,CSF\n", "needs the columns index and name"),
        (b"index\tname\nx\tCSF\n", "'x' in the column index is no whole number"),
        (b"index\tname\n1\tCSF\n1\tGM\n", "two things of label 1"),
        (b"index\tname\n1\tCSF\n2\tGM\n", "names no label as WM"),
        (b"index\tname\n1\tCSF\n2", "names no label as GM"),
        (b"index\tname\n1\t\xff\n", "not UTF-8"),
    ],
)
def test_a_table_that_is_not_understood_is_one_line(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "dseg.tsv"
    path.write_bytes(content)
    with pytest.raises(ScanError, match=told) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
