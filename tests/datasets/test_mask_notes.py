"""A user is told from where lesion masks come and which count as raters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from uad_bench.datasets.bids import Bids

from uad_bench.dataset import Scan
from uad_bench.discovery.locate import inspect
from uad_bench.discovery.mask_notes import mask_notes
from uad_bench.volumes.checks.findings import Notes
from uad_bench.volumes.checks.scan_checks import _check_raters


def notes(root: Path, *masks: str) -> tuple[str, ...]:
    for n in (1, 2, 3):
        folder = root / f"sub-0{n}/anat"
        folder.mkdir(parents=True)
        (folder / f"sub-0{n}_FLAIR.nii.gz").touch()
    for mask in masks:
        (root / mask).parent.mkdir(parents=True, exist_ok=True)
        (root / mask).touch()
    return inspect(Bids(), root).mask_notes


def mask(derivative: str, n: int, desc: str = "") -> str:
    return f"derivatives/{derivative}/sub-0{n}/anat/sub-0{n}_label-lesion{desc}_mask.nii.gz"


def test_masks_of_different_derivatives_are_told(tmp_path: Path) -> None:
    assert notes(tmp_path, mask("manual", 1), *(mask("lst", n) for n in (1, 2, 3))) == (
        "the lesion masks come from different folders: derivatives/lst (2 scans), "
        "derivatives/manual (1 scan)",
    )


def test_one_derivative_with_one_mask_each_is_nothing_to_tell(tmp_path: Path) -> None:
    assert notes(tmp_path, *(mask("manual", n) for n in (1, 2, 3))) == ()


def test_raters_are_counted_and_named(tmp_path: Path) -> None:
    masks = [mask("manual", n, f"_desc-{part}") for n in (1, 2) for part in ("core", "whole")]
    (told,) = notes(tmp_path, *masks, mask("manual", 3), mask("manual", 3, "_desc-2"))
    assert "2 scans with 2 (desc-core, desc-whole), 1 scan with 2 (desc-2, -)" in told


def test_raters_in_folders_of_their_own_are_named_after_them(tmp_path: Path) -> None:
    (told,) = notes(tmp_path, *(mask(f"rater{one}", n) for n in (1, 2, 3) for one in (1, 2)))
    assert "3 scans with 2 (rater1, rater2)" in told


def test_a_dataset_without_masks_has_no_notes() -> None:
    assert list(mask_notes([Scan("sub-01", Path("a"))], Path())) == []


@pytest.mark.parametrize(
    ("spans", "says"),
    [
        ([(0, 8), (2, 6), (3, 5)], "lie inside one another"),
        ([(0, 3), (3, 6), (6, 9)], "do not overlap anywhere"),
        ([(0, 5), (3, 8)], ""),
        ([(0, 5), (0, 5)], ""),
        ([(0, 8), (2, 6), (5, 9)], ""),
        ([(0, 8), (0, 0)], ""),
    ],
)
def test_nested_and_separate_masks_are_asked_about(spans: list[tuple[int, int]], says: str) -> None:
    """Raters agree in part; parts of a tumour, or lesions in files of their own, do not."""
    scan = Scan("a", Path("a.nii"), lesion=tuple(Path(f"a_{n}.nii") for n in range(len(spans))))
    found = Notes(scan, Path())
    marked = [np.isin(np.arange(10), range(*span)).reshape(1, 1, 10) for span in spans]
    _check_raters(scan, marked, found)
    assert [says in finding.message for finding in found.found] == [True] * bool(says)
