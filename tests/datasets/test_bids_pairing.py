"""A FLAIR and its masks are paired by every entity of their names; nothing is guessed."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uad_bench.datasets.bids import Bids

from uad_bench.dataset import Reading, Scan
from uad_bench.discovery.bids.names import BidsFile, normalised, read_name
from uad_bench.discovery.bids.pairing import pair
from uad_bench.errors import UadBenchError

MANUAL = "derivatives/manual/sub-01/anat/sub-01"
RAW = "sub-01/anat/sub-01"


def read(root: Path, *paths: str) -> Reading:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return Bids().read(root)


def shown(scan: Scan) -> tuple[str | None, str, list[str]]:
    return scan.session, scan.flair.name, [path.name for path in scan.lesion]


def test_two_runs_with_a_mask_each_are_two_scans_of_one_person(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        *(f"{RAW}_run-{n}_FLAIR.nii.gz" for n in (1, 2)),
        *(f"{MANUAL}_run-{n}_label-lesion_mask.nii.gz" for n in (1, 2)),
    )
    assert [shown(scan) for scan in reading.scans] == [
        (f"run-{n}", f"sub-01_run-{n}_FLAIR.nii.gz", [f"sub-01_run-{n}_label-lesion_mask.nii.gz"])
        for n in (1, 2)
    ]
    assert {scan.subject for scan in reading.scans} == {"sub-01"}


def test_a_second_scan_of_a_session_keeps_the_sessions_name(tmp_path: Path) -> None:
    stem = "sub-01/ses-02/anat/sub-01_ses-02"
    reading = read(tmp_path, f"{stem}_run-1_FLAIR.nii", f"{stem}_run-2_FLAIR.nii")
    assert [scan.session for scan in reading.scans] == ["ses-02_run-1", "ses-02_run-2"]


def test_the_flair_with_the_mask_is_taken_and_the_other_named(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        f"{RAW}_acq-2D_FLAIR.nii.gz",
        f"{RAW}_acq-3D_FLAIR.nii.gz",
        f"{MANUAL}_acq-3D_label-lesion_mask.nii.gz",
    )
    (scan,) = reading.scans
    assert shown(scan) == (
        None,
        "sub-01_acq-3D_FLAIR.nii.gz",
        ["sub-01_acq-3D_label-lesion_mask.nii.gz"],
    )
    (left,) = reading.left
    assert left.path.name == "sub-01_acq-2D_FLAIR.nii.gz"
    assert "without a lesion mask" in left.reason
    assert left.told


def test_a_mask_that_may_belong_to_two_flairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UadBenchError) as caught:
        read(
            tmp_path,
            f"{RAW}_run-1_FLAIR.nii.gz",
            f"{RAW}_run-2_FLAIR.nii.gz",
            f"{MANUAL}_label-lesion_mask.nii.gz",
        )
    message = str(caught.value)
    assert "sub-01_label-lesion_mask.nii.gz" in message
    assert "sub-01_run-1_FLAIR.nii.gz or to sub-01_run-2_FLAIR.nii.gz" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("flair", "mask"),
    [("_run-1", ""), ("", "_acq-3D"), ("_acq-3D_run-1", "_run-01"), ("_ses-1", ""), ("", "_ses-1")],
)
def test_an_entity_that_one_side_leaves_out_is_no_obstacle_to_the_only_flair(
    tmp_path: Path, flair: str, mask: str
) -> None:
    reading = read(tmp_path, f"{RAW}{flair}_FLAIR.nii", f"{MANUAL}{mask}_label-lesion_mask.nii")
    (scan,) = reading.scans
    assert [path.name for path in scan.lesion] == [f"sub-01{mask}_label-lesion_mask.nii"]


def test_the_flair_of_the_same_entities_comes_before_one_that_states_fewer(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        f"{RAW}_FLAIR.nii.gz",
        f"{RAW}_rec-norm_FLAIR.nii.gz",
        f"{MANUAL}_label-lesion_mask.nii.gz",
        f"{MANUAL}_rec-norm_label-lesion_mask.nii.gz",
    )
    assert [shown(scan) for scan in reading.scans] == [
        (None, "sub-01_FLAIR.nii.gz", ["sub-01_label-lesion_mask.nii.gz"]),
        (
            "rec-norm",
            "sub-01_rec-norm_FLAIR.nii.gz",
            ["sub-01_rec-norm_label-lesion_mask.nii.gz"],
        ),
    ]


def test_a_mask_that_contradicts_every_flair_is_named_and_nobody_becomes_healthy(
    tmp_path: Path,
) -> None:
    reading = read(
        tmp_path, f"{RAW}_acq-2D_FLAIR.nii.gz", f"{MANUAL}_acq-3D_label-lesion_mask.nii.gz"
    )
    (scan,) = reading.scans
    assert (scan.lesion, scan.healthy) == ((), None)
    (left,) = reading.left
    assert left.stops
    assert "acq-3D" in left.reason


def test_masks_that_differ_in_more_than_desc_and_label_are_no_raters(tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match=r"run-1_label-lesion.*run-2_label-lesion.*no raters"):
        read(
            tmp_path,
            f"{RAW}_FLAIR.nii.gz",
            *(f"{MANUAL}_run-{n}_label-lesion_mask.nii.gz" for n in (1, 2)),
        )


def test_versions_of_one_scan_are_one_scan(tmp_path: Path) -> None:
    prepared = "derivatives/prep/sub-01/anat/sub-01_space-MNI152NLin6Asym"
    reading = read(
        tmp_path,
        f"{RAW}_acq-3D_FLAIR.nii.gz",
        f"{prepared}_FLAIR.nii.gz",
        f"{prepared}_desc-brain_FLAIR.nii.gz",
        f"{MANUAL}_space-MNI152NLin6Asym_label-lesion_mask.nii.gz",
    )
    (scan,) = reading.scans
    assert scan.flair.name == "sub-01_space-MNI152NLin6Asym_desc-brain_FLAIR.nii.gz"
    assert len(scan.lesion) == 1
    assert {left.reason for left in reading.left} == {"a further version of a FLAIR"}


def test_a_version_that_may_be_of_two_scans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match=r"may be a version of .*run-1.* or of .*run-2"):
        read(
            tmp_path,
            f"{RAW}_run-1_FLAIR.nii.gz",
            f"{RAW}_run-2_FLAIR.nii.gz",
            "derivatives/prep/sub-01/anat/sub-01_desc-brain_FLAIR.nii.gz",
        )


def test_a_brain_mask_goes_with_the_scan_of_its_run(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        *(f"{RAW}_run-{n}_FLAIR.nii" for n in (1, 2)),
        *(f"{RAW}_run-{n}_desc-brain_mask.nii" for n in (1, 2)),
        *(f"{RAW}_run-{n}_dseg.nii" for n in (1, 2)),
    )
    for n, scan in enumerate(reading.scans, start=1):
        assert scan.brain_mask is not None
        assert scan.brain_mask.name == f"sub-01_run-{n}_desc-brain_mask.nii"
        assert scan.tissues is not None
        assert scan.tissues.name == f"sub-01_run-{n}_dseg.nii"


def test_a_lesion_mask_of_the_stripped_image_is_no_brain_mask(tmp_path: Path) -> None:
    reading = read(tmp_path, f"{RAW}_FLAIR.nii", f"{MANUAL}_desc-brain_label-lesion_mask.nii")
    (scan,) = reading.scans
    assert (len(scan.lesion), scan.brain_mask) == (1, None)


def test_a_session_that_only_a_folder_names_is_a_session(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        *(f"sub-01/ses-0{n}/anat/sub-01_FLAIR.nii.gz" for n in (1, 2)),
        *(f"derivatives/manual/sub-01/ses-0{n}/sub-01_label-lesion_mask.nii.gz" for n in (1, 2)),
    )
    assert [scan.session for scan in reading.scans] == ["ses-01", "ses-02"]
    for scan in reading.scans:
        assert scan.session in scan.flair.parts
        assert scan.session in scan.lesion[0].parts


@pytest.mark.parametrize(
    "path",
    [
        "sub-02/anat/sub-01_FLAIR.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-1_FLAIR.nii.gz",
        "derivatives/manual/sub-02/anat/sub-01_label-lesion_mask.nii.gz",
    ],
)
def test_a_name_that_contradicts_its_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UadBenchError, match=r"the name says \w+-\w+, its folder \w+-\w+"):
        read(tmp_path, path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{RAW}_FLAIR.nii", f"{RAW}_FLAIR.nii.gz"),
        (f"{MANUAL}_label-lesion_mask.nii", f"{MANUAL}_label-lesion_mask.nii.gz"),
        (f"{RAW}_run-1_FLAIR.nii", f"{RAW}_run-01_FLAIR.nii"),
        (f"{RAW}_ses-1_FLAIR.nii", "sub-01/ses-1/anat/sub-01_FLAIR.nii"),
    ],
)
def test_two_files_that_state_the_same_are_refused(tmp_path: Path, one: str, other: str) -> None:
    with pytest.raises(UadBenchError, match="keep one of them"):
        read(tmp_path, one, other)


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    dataset, store = tmp_path / "dataset", tmp_path / "store"
    for path in (store / "anat/sub-01_FLAIR.nii", store / "masks/sub-01_label-lesion_mask.nii"):
        path.parent.mkdir(parents=True)
        path.touch()
    (dataset / "sub-01").mkdir(parents=True)
    (dataset / "sub-01/anat").symlink_to(store / "anat")
    (dataset / "derivatives/manual/sub-01").mkdir(parents=True)
    (dataset / "derivatives/manual/sub-01/anat").symlink_to(store / "masks")
    (dataset / "sub-01/loop").symlink_to(dataset)
    (dataset / "derivatives/manual/loop").symlink_to(dataset / "derivatives")
    (dataset / "itself").symlink_to(dataset / "itself")
    (scan,) = Bids().scans(dataset)
    assert (scan.flair.is_file(), len(scan.lesion)) == (True, 1)


def test_a_link_to_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01/anat").symlink_to(tmp_path / "gone")
    with pytest.raises(OSError, match="not there") as caught:
        Bids().read(tmp_path)
    assert caught.value.filename == str(tmp_path / "sub-01/anat")


# --- whatever the names are --------------------------------------------------------------------

KEYS = ("ses", "acq", "run", "rec", "echo", "space", "res")
ENTITIES = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["1", "2"]), max_size=3)


def _file(suffix: str, source: str, entities: dict[str, str]) -> BidsFile:
    parts = [*(f"{key}-{value}" for key, value in entities.items()), suffix]
    path = Path(source or "raw") / f"sub-01_{'_'.join(parts)}.nii"
    return BidsFile(path, source, "sub-01", suffix, normalised(entities))


@given(flairs=st.lists(ENTITIES, max_size=4), masks=st.lists(ENTITIES, max_size=4))
def test_no_flair_gets_a_mask_that_states_another_value(
    flairs: list[dict[str, str]], masks: list[dict[str, str]]
) -> None:
    files = [_file("FLAIR", "", entities) for entities in flairs]
    files += [
        _file("mask", "manual", {**entities, "label": what})
        for entities, what in zip(masks, ["lesion", "brain"] * 2, strict=False)
    ]
    known = {file.path: file for file in files}
    try:
        paired = pair(known.values(), Path("root"))
    except UadBenchError:
        return  # a refusal is right; a guess would not be
    used = []
    for scan in paired.scans:
        flair = known.get(scan.flair)
        for path in (*scan.lesion, *([scan.brain_mask] if scan.brain_mask else [])):
            used.append(path)
            if flair is None:
                continue  # a mask whose FLAIR is missing is said to be incomplete
            mask = known[path].entities
            shared = flair.entities.keys() & mask.keys() - {"desc", "label"}
            assert all(flair.entities[key] == mask[key] for key in shared)
            assert flair.entities.get("space") == mask.get("space")
    assert len(used) == len(set(used)), "no mask belongs to two scans"
    every = {scan.flair for scan in paired.scans} | {*used} | {left.path for left in paired.left}
    assert set(known) <= every, "every file is used, or left with a reason"
    assert all(scan.healthy is None for scan in paired.scans)


@given(st.text(string.ascii_letters + string.digits + "-_.", max_size=30))
def test_a_name_that_is_read_says_all_that_it_holds(tail: str) -> None:
    path = Path("root") / "sub-01" / f"sub-01{tail}.nii.gz"
    try:
        file = read_name(path, Path("root"))
    except UadBenchError:
        return
    if file is not None:
        stated = "".join(f"_{key}-{value}" for key, value in file.entities.items())
        assert len(f"{file.subject}{stated}_{file.suffix}") <= len(path.name.partition(".nii")[0])
        assert file.suffix.isalnum()


FILLED = "derivatives/a/sub-01/anat/sub-01"
MASK = f"{MANUAL}_label-lesion_mask.nii.gz"


@pytest.mark.parametrize(
    "other",
    [
        f"{FILLED}_desc-filled_FLAIR.nii.gz",
        f"{FILLED}_FLAIR.nii.gz",
        f"{FILLED}_desc-preproc_FLAIR.nii.gz",
        f"{FILLED}_space-orig_desc-synth_FLAIR.nii.gz",
    ],
)
@pytest.mark.parametrize("masks", [(), (MASK,)])
def test_the_raw_flair_comes_before_a_derivatives(
    tmp_path: Path, other: str, masks: tuple[str, ...]
) -> None:
    """A filled image, a label map or another site's image must not stand for the scan."""
    reading = read(tmp_path, f"{RAW}_FLAIR.nii.gz", other, *masks)
    (scan,) = reading.scans
    assert scan.flair == tmp_path / f"{RAW}_FLAIR.nii.gz"
    assert [(left.path, left.told) for left in reading.left] == [(tmp_path / other, False)]


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        (f"{FILLED}_desc-brain_FLAIR.nii.gz", True),
        (f"{FILLED}_space-MNI152NLin2009aSym_desc-filled_FLAIR.nii.gz", True),
        (f"{FILLED}_space-MNI152NLin2009aSym_desc-brain_FLAIR.nii.gz", False),
    ],
)
def test_a_raw_flair_that_is_passed_over_is_told_where_the_other_may_be_wrong(
    tmp_path: Path, taken: str, told: bool
) -> None:
    reading = read(tmp_path, f"{RAW}_FLAIR.nii.gz", taken)
    assert [scan.flair for scan in reading.scans] == [tmp_path / taken]
    (left,) = reading.left
    assert (left.path, left.told) == (tmp_path / f"{RAW}_FLAIR.nii.gz", told)
    assert ("a version of derivatives/a, desc-" in left.reason) is told


@pytest.mark.parametrize("name", ["manual", "Manual-raters", "MANUAL"])
def test_manual_masks_win_in_any_letter_case(tmp_path: Path, name: str) -> None:
    manual = f"derivatives/{name}/sub-01/anat/sub-01_label-lesion_mask.nii.gz"
    reading = read(tmp_path, f"{RAW}_FLAIR.nii.gz", manual, f"{FILLED}_label-lesion_mask.nii.gz")
    assert [scan.lesion for scan in reading.scans] == [(tmp_path / manual,)]


@pytest.mark.parametrize(
    "names", ["rater1 rater2 rater3", "Expert-A expert-B", "manual1 manual_02"]
)
def test_derivatives_that_number_people_are_raters(tmp_path: Path, names: str) -> None:
    masks = [f"derivatives/{n}/sub-01/anat/sub-01_label-lesion_mask.nii.gz" for n in names.split()]
    reading = read(tmp_path, f"{RAW}_FLAIR.nii.gz", *masks)
    assert {path for scan in reading.scans for path in scan.lesion} == {tmp_path / m for m in masks}
    assert reading.left == ()


def test_masks_of_another_derivative_are_told(tmp_path: Path) -> None:
    masks = [
        f"derivatives/{n}/sub-01/anat/sub-01_label-lesion_mask.nii.gz" for n in ("lst-1", "lst-2")
    ]
    reading = read(tmp_path, f"{RAW}_FLAIR.nii.gz", *masks)
    assert [scan.lesion for scan in reading.scans] == [(tmp_path / masks[0],)]
    (left,) = reading.left
    assert (left.path, left.told) == (tmp_path / masks[1], True)
    assert "another derivative" in left.reason


def test_a_session_folder_is_read_in_any_letter_case(tmp_path: Path) -> None:
    reading = read(
        tmp_path,
        *(f"sub-01/Ses-{n}/anat/sub-01_FLAIR.nii.gz" for n in (1, 2)),
        "derivatives/manual/sub-01/SES-2/anat/sub-01_label-lesion_mask.nii.gz",
    )
    assert [(scan.session, len(scan.lesion)) for scan in reading.scans] == [
        ("ses-1", 0),
        ("ses-2", 1),
    ]


@pytest.mark.parametrize(
    "mask",
    [
        "derivatives/manual/sub-01/anat/sub-01_mod-T1w_label-lesion_mask.nii.gz",
        "derivatives/manual/sub-01/dwi/sub-01_label-lesion_mask.nii.gz",
    ],
)
def test_a_mask_of_another_image_is_not_the_flairs(tmp_path: Path, mask: str) -> None:
    (scan,) = read(tmp_path, f"{RAW}_FLAIR.nii.gz", mask).scans
    assert scan.lesion == ()


def test_a_mask_that_says_it_is_of_the_flair_is_its_own(tmp_path: Path) -> None:
    mask = f"{MANUAL}_mod-FLAIR_label-lesion_mask.nii.gz"
    (scan,) = read(tmp_path, f"{RAW}_FLAIR.nii.gz", mask).scans
    assert len(scan.lesion) == 1
