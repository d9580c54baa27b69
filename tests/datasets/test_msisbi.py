"""MSISBI is read in every layout, by names only."""

from collections import Counter
from pathlib import Path

import pytest
from made_datasets import read, relative, touch


@pytest.mark.parametrize("level", ["training/", "training_final_v4/", ""])
def test_msisbi_has_21_scans_of_5_people_and_two_raters(tmp_path: Path, level: str) -> None:
    times = {1: 4, 2: 4, 3: 5, 4: 4, 5: 4}
    for person, count in times.items():
        for time in range(1, count + 1):
            stem = f"training{person:02d}_{time:02d}"
            folder = f"{level}training{person:02d}"
            touch(
                tmp_path,
                f"{folder}/preprocessed/{stem}_flair_pp.nii",
                f"{folder}/preprocessed/{stem}_mprage_pp.nii",
                f"{folder}/masks/{stem}_mask1.nii",
                f"{folder}/masks/{stem}_mask2.nii",
                f"{folder}/orig/{stem}_flair.nii.gz",
            )
    scans = read("msisbi", tmp_path)
    assert len(scans) == 21 == len({scan.name for scan in scans})
    assert Counter(scan.subject for scan in scans) == {
        f"training{person:02d}": count for person, count in times.items()
    }
    assert {scan.space for scan in scans} == {"mni152"}
    last = f"{level}training05"
    assert relative(tmp_path, scans[-1]) == (
        f"{last}/preprocessed/training05_04_flair_pp.nii",
        f"{last}/masks/training05_04_mask1.nii",
        f"{last}/masks/training05_04_mask2.nii",
    )


def test_msisbi_names_a_missing_flair_and_a_missing_rater(tmp_path: Path) -> None:
    touch(tmp_path, "training01/masks/training01_02_mask1.nii")
    (scan,) = read("msisbi", tmp_path)
    assert scan.flair.name == "training01_02_flair_pp.nii"
    assert [mask.is_file() for mask in scan.lesion] == [True, False]
