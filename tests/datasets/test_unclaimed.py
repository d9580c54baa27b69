"""Every volume of a dataset is used, explained, waived or named; a name makes nobody healthy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_datasets import touch
from uad_bench.datasets.bids import Bids
from uad_bench.datasets.mslub import Mslub

from uad_bench.cli import main
from uad_bench.dataset import LeftFile
from uad_bench.discovery.locate import Found, inspect, refuse_unclaimed
from uad_bench.discovery.unclaimed import scan_paths
from uad_bench.errors import UadBenchError
from uad_bench.volumes.checks.validate import validate_dataset

FLAIR = "sub-01/anat/sub-01_FLAIR.nii.gz"


def found(root: Path, *paths: str) -> Found:
    touch(root, FLAIR, *paths)
    return inspect(Bids(), root)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("derivatives/sub-01/ses-1/sub-01_ses-1_msk.nii.gz", "_msk"),
        ("derivatives/manual/sub-01/anat/sub-01_lesion.nii.gz", "_lesion"),
        ("derivatives/manual/sub-01/anat/sub-01_label-WMH_mask.nii.gz", "label-WMH"),
        ("derivatives/manual/sub-01/anat/sub-01_mask.nii.gz", "no label"),
        ("derivatives/manual/sub-01/anat/sub-01_acq-x_FLAIR_roi.nii.gz", "_FLAIR_roi"),
        ("sub-04/anat/sub-04_FLAIR_mask.nii.gz", "a lesion mask?"),
        ("sub-04/anat/sub-04_acq-FLAIR_mask.nii.gz", "a mask (no label)"),
        ("derivatives/manual/sub-01/anat/sub-01_roi.nii.gz", "no label"),
        ("derivatives/manual/sub-01/anat/sub-01_desc-lesions_dseg.nii.gz", "_dseg"),
        ("derivatives/manual/sub-01/anat/sub-01_label-lesion_probseg.nii.gz", "_probseg"),
        ("derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.NII.GZ", "lower case"),
        ("derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.img", "convert"),
        *(
            (f"derivatives/manual/sub-01/anat/sub-01_label-lesion_mask{ending}", "not read")
            for ending in (".nrrd", ".nii.bz2", ".mgz", ".mha", ".MHD", ".nii.xz", ".mnc")
        ),
        ("sub-02/anat/sub-02_FLAIR.nrrd", "a format that is not read (.nrrd): convert it"),
        ("derivatives/freesurfer/sub-01/mri/lesions.mgz", "(.mgz): convert it"),
        ("derivatives/manual/sub-01/anat/lesion.nii.gz", "_lesion"),
        ("derivatives/manual/sub-01/dwi/sub-01_msk.nii.gz", "_msk"),
        ("derivatives/manual/sub-01/anat/sub-01_desc-brain_label-WMH_mask.nii.gz", "label-WMH"),
        ("masks/sub-01.nii.gz", "not BIDS"),
        ("sub-02/anat/sub-02_T2FLAIR.nii.gz", "_T2FLAIR"),
        ("sub-01/anat/sub-01_label-lesion_dseg.nii.gz", "perhaps of lesions"),
        ("derivatives/manual/sub-01/anat/sub-01_label-WMH_dseg.nii.gz", "perhaps of lesions"),
        ("sub-02/anat/sub-02_flair.nii.gz", "_flair"),
        ("sub-02/anat/sub-02_FLAIRa.nii.gz", "_FLAIRa"),
        ("sub-02/anat/sub-02_FLAIR_Eq_1.nii.gz", "_FLAIR_Eq_1"),
        ("sub-02/anat/sub-02_acq-FLAIR_T2w.nii.gz", "a FLAIR?"),
        ("rawdata/sub-02/anat/sub-02_FLAIR.nii.gz", "outside"),
        ("sub-02/anat/sub-02_acq-1_acq-2_FLAIR.nii.gz", "a FLAIR?"),
    ],
)
def test_what_may_be_a_flair_or_a_mask_is_named_and_stops_a_run(
    tmp_path: Path, path: str, reason: str
) -> None:
    dataset = found(tmp_path, path)
    (file,) = dataset.unclaimed
    assert (file.path, file.stops) == (tmp_path / path, True)
    assert reason in file.reason
    with pytest.raises(UadBenchError, match="neither read nor known") as caught:
        refuse_unclaimed(dataset, "bids:here")
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(scan.healthy is None for scan in dataset.scans)


@pytest.mark.parametrize(
    "path",
    [
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_space-FLAIR_T1w.nii.gz",
        "sub-01/anat/sub-01_part-phase_FLAIR.nii.gz",
        "sub-01/func/sub-01_task-rest_bold.nii.gz",
        "sub-01/dwi/sub-01_desc-brain_mask.nii.gz",
        "sub-01/fmap/sub-01_magnitude1.nii.gz",
        "derivatives/prep/sub-01/anat/sub-01_label-GM_probseg.nii.gz",
        "derivatives/prep/sub-01/anat/sub-01_hemi-L_desc-ribbon_mask.nii.gz",
        "derivatives/freesurfer/sub-01/mri/aseg.mgz",
        ".git/annex/sub-01_msk.nii.gz",
    ],
)
def test_other_sequences_and_the_anatomy_are_not_suspected(tmp_path: Path, path: str) -> None:
    assert found(tmp_path, path).unclaimed == ()


def test_a_tissue_map_with_its_probability_maps_is_known(tmp_path: Path) -> None:
    stem = "derivatives/fmriprep/sub-01/anat/sub-01_space-T1w"
    assert found(tmp_path, f"{stem}_dseg.nii.gz", f"{stem}_label-GM_probseg.nii.gz").unclaimed == ()


def test_source_data_are_named_and_stop_nothing(tmp_path: Path) -> None:
    dataset = found(tmp_path, "sourcedata/sub-01/sub-01_lesion.nii.gz")
    assert [(file.path.name, file.stops) for file in dataset.unclaimed] == [
        ("sub-01_lesion.nii.gz", False)
    ]
    refuse_unclaimed(dataset, "bids:here")


def test_a_pair_of_header_and_image_counts_once(tmp_path: Path) -> None:
    stem = "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask"
    assert len(found(tmp_path, f"{stem}.img", f"{stem}.hdr").unclaimed) == 1


def test_bidsignore_waives_files(tmp_path: Path) -> None:
    (tmp_path / ".bidsignore").write_text("# ours\n*_msk.nii.gz\nderivatives/old/\n")
    dataset = found(
        tmp_path,
        "derivatives/sub-01/sub-01_msk.nii.gz",
        "derivatives/old/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
    )
    assert (dataset.unclaimed, dataset.waived) == ((), 2)
    assert dataset.scans[0].lesion == ()
    assert dataset.incomplete == ("sub-01",), "a waived mask makes nobody healthy"


def test_a_bidsignore_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    touch(tmp_path, FLAIR)
    (tmp_path / ".bidsignore").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UadBenchError, match=r"\.bidsignore"):
        inspect(Bids(), tmp_path)


def test_a_bidsignore_with_a_wrong_pattern_is_one_line(tmp_path: Path) -> None:
    touch(tmp_path, FLAIR)
    (tmp_path / ".bidsignore").write_text("[z-a]\n")
    with pytest.raises(UadBenchError, match=r"\.bidsignore: .*one pattern a line"):
        inspect(Bids(), tmp_path)


@pytest.mark.parametrize("name", [".bidsignore", "participants.tsv"])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_on(tmp_path: Path, name: str) -> None:
    touch(tmp_path, FLAIR)
    os.mkfifo(tmp_path / name)
    with pytest.raises(UadBenchError, match=f"{name}.*is no regular file"):
        inspect(Bids(), tmp_path)


def test_a_link_to_itself_that_is_named_like_a_mask_is_named(tmp_path: Path) -> None:
    mask = tmp_path / "derivatives/manual/sub-01/anat/sub-01_msk.nii.gz"
    mask.parent.mkdir(parents=True)
    mask.symlink_to(mask)
    assert [file.path for file in found(tmp_path).unclaimed] == [mask]


def test_a_file_that_a_link_leads_to_is_claimed_by_either_name(tmp_path: Path) -> None:
    touch(tmp_path, "store/a_FLAIR.nii.gz", "store/a_lesion.nii.gz")
    for link, target in (
        (FLAIR, "store/a_FLAIR.nii.gz"),
        ("derivatives/m/sub-01/sub-01_label-lesion_mask.nii.gz", "store/a_lesion.nii.gz"),
    ):
        (tmp_path / link).parent.mkdir(parents=True)
        (tmp_path / link).symlink_to(tmp_path / target)
    assert inspect(Bids(), tmp_path).unclaimed == ()


def test_a_published_layout_names_its_side_files_and_stops_nothing(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "patient01/patient01_FLAIR.nii.gz",
        "patient01/patient01_consensus_gt.nii.gz",
        "patient01/patient01_T1W.nii.gz",
        "patient01/patient01_brainmask.nii.gz",
        "patient01/patient01_lesions_second_rater.nii.gz",
    )
    dataset = inspect(Mslub(), tmp_path)
    assert [(file.path.name, file.stops) for file in dataset.unclaimed] == [
        ("patient01_lesions_second_rater.nii.gz", False)
    ]


def test_a_dataset_without_any_scan_says_what_is_there_instead(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T2FLAIR.nii.gz", "sub-02/anat/sub-02_T2FLAIR.nii.gz")
    with pytest.raises(UadBenchError, match=r"sub-01_T2FLAIR\.nii\.gz and 1 more \(a FLAIR\?"):
        inspect(Bids(), tmp_path)


def test_validate_counts_unclaimed_files_as_an_error_and_left_ones_as_a_note(
    tmp_path: Path,
) -> None:
    touch(
        tmp_path,
        FLAIR,
        "sub-02/anat/sub-02_acq-2D_FLAIR.nii.gz",
        "sub-02/anat/sub-02_acq-3D_FLAIR.nii.gz",
        "derivatives/manual/sub-02/anat/sub-02_acq-3D_label-lesion_mask.nii.gz",
        "derivatives/manual/sub-01/anat/sub-01_msk.nii.gz",
    )
    findings = [f for f in validate_dataset(Bids(), tmp_path) if f.scan == "bids"]
    told = {(f.severity, f.where) for f in findings}
    assert {("error", "unclaimed"), ("note", "left out")} <= told
    assert any("sub-01_msk.nii.gz" in f.message for f in findings if f.severity == "error")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, FLAIR)
    (tmp_path / "sub-01").chmod(0)
    with pytest.raises(UadBenchError, match=r"sub-01.* cannot be read"):
        inspect(Bids(), tmp_path)


def test_an_unreadable_folder_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, FLAIR)
    scandir = os.scandir

    def guarded(path: Path) -> object:
        if Path(path).name == "anat":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(UadBenchError, match="anat cannot be read: Permission denied"):
        inspect(Bids(), tmp_path)


def test_a_run_stops_before_any_work_with_exit_2_and_data_shows_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "dataset"
    touch(dataset, FLAIR, "derivatives/sub-01/sub-01_msk.nii.gz")
    target = f"bids:{dataset}"
    for command in (
        ["run", "--methods", "thresholding", "--results", str(tmp_path / "results")],
        ["prepare", "--page", str(tmp_path / "page")],
    ):
        where = ["--datasets", target, "--cache", str(tmp_path / "cache")]
        assert main([*command, *where]) == 2
        said = capsys.readouterr().err
        assert "1 file is neither read nor known" in said
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "results").exists()
    assert main(["data", target]) == 0
    shown = capsys.readouterr().out
    assert "1 file: a lesion mask? BIDS names it _label-lesion_mask, not _msk" in shown
    assert "1 with no lesion mask, and nobody says healthy: sub-01" in shown
    assert main(["data", target, "--lesion-pattern", "*_msk.nii.gz"]) == 0
    mapped = capsys.readouterr().out
    assert "masks       1 of lesions, for 1 scan" in mapped
    assert "unclaimed   nothing" in mapped


def test_a_pattern_that_fits_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, FLAIR, "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz")
    arguments = ["--lesion-pattern", "*_msk.nii.gz", "--cache", str(tmp_path / "cache")]
    run = ["run", "--methods", "thresholding", "--datasets", f"bids:{tmp_path}"]
    assert main([*run, *arguments]) == 2
    assert "fits no file of these datasets" in capsys.readouterr().err
    assert main(["validate", f"bids:{tmp_path}", *arguments[:2]]) == 2
    assert "fits no file of" in capsys.readouterr().err


# --- whatever the files are called ---------------------------------------------------------------

STEMS = st.sampled_from(["sub-01", "sub-02_ses-1", "sub-01_run-1", "sub-01_run-2", "x", "lesion"])
WORDS = st.sampled_from(
    ["FLAIR", "T1w", "label-lesion_mask", "desc-brain_mask", "msk", "dseg", "flair", "roi", "odd"]
)
ENDINGS = st.sampled_from([".nii", ".nii.gz", ".NII.GZ", ".img"])
FOLDERS = st.sampled_from(["", "derivatives/manual/", "derivatives/", "masks/"])
OTHERS = ("_T1w.", "_desc-brain_mask.")


@settings(max_examples=60)
@given(names=st.lists(st.tuples(FOLDERS, STEMS, WORDS, ENDINGS), max_size=6, unique=True))
def test_every_volume_is_used_or_explained_and_no_name_makes_anybody_healthy(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str, str, str]]
) -> None:
    root = tmp_path_factory.mktemp("dataset")
    touch(root, "sub-00/anat/sub-00_FLAIR.nii.gz")
    for folder, stem, word, ending in names:
        subject = stem.split("_")[0]
        touch(root, f"{folder}{subject}/anat/{stem}_{word}{ending}")
    try:
        dataset = inspect(Bids(), root)
    except UadBenchError:
        return
    assert all(scan.healthy is None for scan in dataset.scans)
    known = {path for scan in dataset.scans for path in scan_paths(scan)}
    files: tuple[LeftFile, ...] = (*dataset.left, *dataset.unclaimed)
    known |= {file.path for file in files}
    lost = {path.name for path in root.rglob("*") if path.is_file() and path not in known}
    assert all(any(other in name for other in OTHERS) for name in lost)
