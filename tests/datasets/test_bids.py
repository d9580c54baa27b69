"""A BIDS dataset is read with the masks of its derivatives, by names only."""

from pathlib import Path

from made_datasets import participants, read, relative, touch


def test_bids_raw_dataset_with_masks_in_derivatives(tmp_path: Path) -> None:
    for subject in ("sub-02", "sub-01"):
        touch(
            tmp_path,
            f"{subject}/anat/{subject}_FLAIR.nii.gz",
            f"{subject}/anat/{subject}_T1w.nii.gz",
            f"derivatives/manual/{subject}/anat/{subject}_label-lesion_mask.nii.gz",
        )
    scans = read("bids", tmp_path)
    assert [(scan.subject, scan.session, scan.split) for scan in scans] == [
        ("sub-01", None, "test"),
        ("sub-02", None, "test"),
    ]
    assert relative(tmp_path, scans[0]) == (
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
    )
    assert scans[0].space is None


def test_bids_prefers_the_stripped_template_space_flair_and_what_lies_in_its_space(
    tmp_path: Path,
) -> None:
    stem = "derivatives/prep/sub-01/ses-02/anat/sub-01_ses-02_space-MNI152NLin6Asym"
    touch(
        tmp_path,
        "sub-01/ses-02/anat/sub-01_ses-02_FLAIR.nii.gz",
        f"{stem}_FLAIR.nii.gz",
        f"{stem}_desc-brain_FLAIR.nii.gz",
        f"{stem}_desc-brain_mask.nii.gz",
        f"{stem}_dseg.nii.gz",
        f"{stem}_label-lesion_mask.nii.gz",
        "derivatives/manual/sub-01/ses-02/anat/sub-01_ses-02_label-lesion_mask.nii.gz",
        f"{stem.replace('prep', 'fmriprep')}_dseg.nii.gz",
    )
    (scan,) = read("bids", tmp_path)
    assert relative(tmp_path, scan) == (
        f"{stem}_desc-brain_FLAIR.nii.gz",
        f"{stem}_label-lesion_mask.nii.gz",
        f"{stem}_desc-brain_mask.nii.gz",
        f"{stem}_dseg.nii.gz",
    )
    assert (scan.name, scan.space) == ("sub-01_ses-02", "mni152")


def test_bids_never_pairs_a_flair_with_a_mask_of_another_space(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "sub-01/anat/sub-01_FLAIR.nii",
        "derivatives/prep/sub-01/anat/sub-01_space-MNI152NLin6Asym_desc-brain_FLAIR.nii",
        "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii",
    )
    (scan,) = read("bids", tmp_path)
    assert scan.flair.name == "sub-01_FLAIR.nii"
    assert [mask.name for mask in scan.lesion] == ["sub-01_label-lesion_mask.nii"]


def test_bids_raters_are_the_masks_of_the_manual_derivative(tmp_path: Path) -> None:
    raters = [f"sub-01_label-lesion_desc-rater{n}_mask.nii.gz" for n in (1, 2)]
    touch(
        tmp_path,
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        *(f"derivatives/manual/sub-01/anat/{name}" for name in raters),
        "derivatives/automatic/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
    )
    (scan,) = read("bids", tmp_path)
    assert [mask.name for mask in scan.lesion] == raters


def test_bids_a_test_scan_without_its_mask_is_named_not_taken_for_healthy(tmp_path: Path) -> None:
    touch(
        tmp_path,
        *(f"sub-0{n}/anat/sub-0{n}_FLAIR.nii.gz" for n in (1, 2, 3)),
        "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
    )
    participants(tmp_path, ("sub-01", "test"), ("sub-02", "test"), ("sub-03", "train"))
    first, second, third = read("bids", tmp_path)
    assert first.lesion[0].is_file()
    assert (second.lesion, second.healthy) == ((), None)
    assert third.lesion == ()
    missing = read("msi", tmp_path)[1].lesion
    assert missing == (tmp_path / "derivatives/manual/sub-02/anat/sub-02_label-lesion_mask.nii.gz",)


def test_bids_a_mask_without_flair_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz")
    (scan,) = read("bids", tmp_path)
    assert scan.flair == tmp_path / "sub-01/anat/sub-01_FLAIR.nii.gz"
    assert len(scan.lesion) == 1


def test_bids_healthy_dataset_needs_no_masks(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_FLAIR.nii.gz")
    assert read("bids", tmp_path)[0].lesion == ()
    assert read("hi", tmp_path)[0].lesion == ()
    for name in ("msi", "gbi"):
        assert len(read(name, tmp_path)[0].lesion) == 1
