"""MSLUB is read in every layout, by names only."""

from pathlib import Path

import pytest
from made_datasets import read, relative, touch

_REGISTERED = "N4_noneck_reduced_winsor_regtoFLAIR"


@pytest.mark.parametrize(
    ("files", "space"),
    [
        (
            (
                "patient01/patient01_FLAIR.nii.gz",
                "patient01/patient01_consensus_gt.nii.gz",
                "patient01/patient01_brainmask.nii.gz",
            ),
            None,
        ),
        (
            (
                "patient01/FLAIR.nii.gz",
                "patient01/consensus_gt.nii.gz",
                "patient01/brainmask.nii.gz",
            ),
            None,
        ),
        (
            (
                "cross_sectional/coregistered/patient01/FLAIR.nii.gz",
                "cross_sectional/coregistered/patient01/consensus_gt.nii.gz",
                "cross_sectional/coregistered/patient01/brainmask.nii.gz",
            ),
            None,
        ),
        (("raw/patient01/FLAIR.nii.gz", "raw/patient01/consensus_gt.nii.gz"), None),
        (
            (
                f"MNI/patient01/FLAIR_{_REGISTERED}_brain_N4_regtoMNI.nii.gz",
                f"MNI/patient01/GOLD_STANDARD_{_REGISTERED}_regtoMNI.nii.gz",
            ),
            "mni152",
        ),
    ],
)
def test_mslub_reads_every_layout(
    tmp_path: Path, files: tuple[str, ...], space: str | None
) -> None:
    touch(tmp_path, *files, "patient01/raw/patient01_FLAIR.nii.gz")
    if len(files[0].split("/")) > 2:
        (tmp_path / "patient01/raw/patient01_FLAIR.nii.gz").unlink()
        (tmp_path / "patient01/raw").rmdir()
        (tmp_path / "patient01").rmdir()
    (scan,) = read("mslub", tmp_path)
    assert relative(tmp_path, scan) == files
    assert (scan.subject, scan.session, scan.split, scan.space) == (
        "patient01",
        None,
        "test",
        space,
    )


def test_masks_of_ms_datasets_hold_one_label(tmp_path: Path) -> None:
    """Another value is no lesion, and refused when the mask is read."""
    touch(tmp_path, "mslub/patient01/FLAIR.nii.gz")
    touch(tmp_path, "msisbi/training/training01/preprocessed/training01_01_flair_pp.nii")
    for name in ("mslub", "msisbi"):
        (scan,) = read(name, tmp_path / name)
        assert scan.lesion_labels == {1}


def test_mslub_takes_one_of_several_variants_and_no_longitudinal_data(tmp_path: Path) -> None:
    variants = ("raw", "coregistered", "coregistered_resampled")
    touch(tmp_path, *(f"cross_sectional/{v}/patient01/FLAIR.nii.gz" for v in variants))
    touch(tmp_path, "longitudinal/raw/patient01/study1_FLAIR.nii.gz")
    (scan,) = read("mslub", tmp_path)
    assert scan.flair.parts[-3] == "coregistered_resampled"
