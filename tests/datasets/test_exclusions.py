"""Exclusions: a person's decision is kept with its history, and nothing else can be written."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uad_bench.cli import main
from uad_bench.dataset import Scan
from uad_bench.errors import UadBenchError
from uad_bench.volumes.store.exclusions import (
    COLUMNS,
    FILE_NAME,
    exclusion_of,
    read_exclusions,
    record_exclusion,
    record_inclusion,
)

KNOWN = ("sub-01", "sub-01_ses-1", "sub-01_ses-2", "sub-02")


def refused(call: object, *words: str) -> str:
    with pytest.raises(UadBenchError) as caught:
        call()  # type: ignore[operator]
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def test_a_folder_without_the_file_excludes_nothing(tmp_path: Path) -> None:
    assert read_exclusions(tmp_path) == {}


def test_the_last_decision_counts_and_every_decision_stays(tmp_path: Path) -> None:
    record_exclusion(tmp_path, "sub-01", "moved", KNOWN)
    record_exclusion(tmp_path, "sub-02", "T1, not FLAIR", KNOWN)
    record_exclusion(tmp_path, "sub-01", "moved in every\tslice\n", KNOWN)
    record_inclusion(tmp_path, "sub-02", "it is a FLAIR", KNOWN)
    assert read_exclusions(tmp_path) == {"sub-01": "moved in every slice"}
    lines = [line.split("\t") for line in (tmp_path / FILE_NAME).read_text().splitlines()]
    assert tuple(lines[0]) == COLUMNS
    assert [(line[1], line[2]) for line in lines[1:]] == [
        ("sub-01", "exclude"),
        ("sub-02", "exclude"),
        ("sub-01", "exclude"),
        ("sub-02", "include"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", row[0]) for row in lines[1:])


def test_a_subject_stands_for_all_of_its_sessions_and_a_session_for_itself() -> None:
    first = Scan("sub-01", Path("a.nii"), session="ses-1")
    second = Scan("sub-01", Path("b.nii"), session="ses-2")
    assert exclusion_of(second, {"sub-01": "moved"}) == "moved"
    assert exclusion_of(first, {"sub-01_ses-1": "cut"}) == "cut"
    assert exclusion_of(second, {"sub-01_ses-1": "cut"}) is None
    assert exclusion_of(first, {"sub-01": "moved", "sub-01_ses-1": "cut"}) == "cut"


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(KNOWN), st.text(st.characters(codec="utf-8")), st.booleans())
    )
)
def test_whatever_is_recorded_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, decisions: list[tuple[str, str, bool]]
) -> None:
    """Oracle: a dictionary. Reasons hold any characters, line separators of Unicode among them."""
    folder = tmp_path_factory.mktemp("dataset")
    expected: dict[str, str] = {}
    for name, reason, is_exclusion in decisions:
        try:
            (record_exclusion if is_exclusion else record_inclusion)(folder, name, reason, KNOWN)
        except UadBenchError:
            assert not reason.strip() if is_exclusion else name not in expected
            continue
        if is_exclusion:
            expected[name] = " ".join(reason.split())
        else:
            del expected[name]
    assert read_exclusions(folder) == expected


def test_decisions_of_several_people_at_once_all_stay_whole(tmp_path: Path) -> None:
    names = [f"sub-{k:03d}" for k in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: record_exclusion(tmp_path, name, "moved", names), names))
    assert read_exclusions(tmp_path) == dict.fromkeys(names, "moved")


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    refused(lambda: record_exclusion(tmp_path, "sub-1", "moved", KNOWN), "'sub-1'", "sub-01")
    refused(lambda: record_inclusion(tmp_path, "sub-1", "", KNOWN), "'sub-1'", "sub-01")
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize("reason", ["", " \t\n"])
def test_a_decision_needs_a_reason(tmp_path: Path, reason: str) -> None:
    refused(lambda: record_exclusion(tmp_path, "sub-01", reason, KNOWN), "reason", "--because")
    assert not (tmp_path / FILE_NAME).exists()


def test_what_is_not_excluded_cannot_be_taken_back(tmp_path: Path) -> None:
    record_exclusion(tmp_path, "sub-02", "moved", KNOWN)
    refused(lambda: record_inclusion(tmp_path, "sub-01", "", KNOWN), "sub-01", "not excluded")


def test_a_subject_that_has_left_the_folder_can_still_be_taken_back(tmp_path: Path) -> None:
    record_exclusion(tmp_path, "sub-02", "moved", KNOWN)
    record_inclusion(tmp_path, "sub-02", "", ("sub-01",))
    assert read_exclusions(tmp_path) == {}


@pytest.mark.parametrize(
    "line",
    [
        "sub-01\texclude",
        "2026-01-01T00:00:00+00:00\tsub-01\tdrop\tmoved\tme\t0.1.0",
        "2026-01-01T00:00:00+00:00\t\texclude\tmoved\tme\t0.1.0",
    ],
)
def test_a_damaged_line_is_named_and_nothing_is_added(tmp_path: Path, line: str) -> None:
    record_exclusion(tmp_path, "sub-02", "moved", KNOWN)
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text() + line + "\n")
    before = path.read_bytes()
    refused(lambda: read_exclusions(tmp_path), FILE_NAME, "line 3")
    refused(lambda: record_exclusion(tmp_path, "sub-01", "moved", KNOWN), "line 3")
    assert path.read_bytes() == before


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe\x00")
    refused(lambda: read_exclusions(tmp_path), FILE_NAME, "UTF-8")


def test_a_spreadsheets_line_ends_and_an_open_last_line_are_fine(tmp_path: Path) -> None:
    record_exclusion(tmp_path, "sub-02", "moved", KNOWN)
    path = tmp_path / FILE_NAME
    text = path.read_text().rstrip("\n").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    record_exclusion(tmp_path, "sub-01", "cut", KNOWN)
    assert read_exclusions(tmp_path) == {"sub-02": "moved", "sub-01": "cut"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        refused(lambda: record_exclusion(tmp_path, "sub-01", "moved", KNOWN), "cannot write")
    finally:
        tmp_path.chmod(0o700)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "gone" / FILE_NAME)
    refused(lambda: record_exclusion(tmp_path, "sub-01", "moved", KNOWN), "cannot write")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for subject in ("01", "02"):
        for session in ("1", "2"):
            stem = f"sub-{subject}_ses-{session}"
            anat = tmp_path / "lab" / f"sub-{subject}" / f"ses-{session}" / "anat"
            anat.mkdir(parents=True)
            (anat / f"{stem}_FLAIR.nii.gz").touch()
    return tmp_path / "lab"


def command(*words: str) -> int:
    return main(["exclude", *words])


def test_the_command_records_lists_and_takes_back(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ("--datasets", f"bids:{dataset}")
    assert command(*place) == 0
    assert "4 of 4 scans" in capsys.readouterr().err
    assert command("sub-01", "--because", "moved", *place) == 0
    assert command("sub-02_ses-2", "--because", "is a T1", *place) == 0
    shown = capsys.readouterr()
    assert "sub-02_ses-2" in shown.out
    assert "is a T1" in shown.out
    assert "1 of 4 scans" in shown.err
    assert read_exclusions(dataset) == {"sub-01": "moved", "sub-02_ses-2": "is a T1"}
    assert command("sub-01", "--undo", *place) == 0
    assert "sub-01 " not in capsys.readouterr().out
    assert read_exclusions(dataset) == {"sub-02_ses-2": "is a T1"}


def test_a_dataset_is_found_by_name_below_the_data_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patient = tmp_path / "MSLUB" / "patient01"
    patient.mkdir(parents=True)
    (patient / "FLAIR.nii.gz").touch()
    words = ("--datasets", "mslub", "--data-root", str(tmp_path))
    assert command("patient01", "--because", "moved", *words) == 0
    assert read_exclusions(tmp_path / "MSLUB") == {"patient01": "moved"}
    capsys.readouterr()
    assert command("patient1", "--because", "moved", *words) == 2
    assert "near it: patient01" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sub-01", "--because", "x"], "--datasets"),
        (["--because", "x", "--datasets", "bids:{dataset}"], "which scan"),
        (["sub-01", "--datasets", "bids:{dataset}"], "--because"),
        (["sub-01", "--because", "x", "--datasets", "bids"], "bids:PATH"),
        (["sub-01", "--because", "x", "--datasets", "mslub"], "--data-root"),
        (["sub-01", "--because", "x", "--datasets", "mslub", "--data-root", "{dataset}"], "not in"),
        (["sub-01", "--because", "x", "--datasets", "bids:{dataset}/gone"], "no such folder"),
    ],
)
def test_bad_use_is_one_line_that_says_what_to_do(
    dataset: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert command(*(word.format(dataset=dataset) for word in words)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (dataset / FILE_NAME).exists()


def test_a_line_that_fits_nobody_is_refused_before_anything_is_prepared(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids that were renamed after a decision would bring the scan back in silence."""
    record_exclusion(dataset, "sub-1", "moved", ["sub-1"])
    assert main(["prepare", "--datasets", f"bids:{dataset}", "--cache", "cache"]) == 2
    error = capsys.readouterr().err
    assert "no scan or subject is named 'sub-1'" in error
    assert "near it: sub-01" in error
    assert command("sub-1", "--undo", "--datasets", f"bids:{dataset}") == 0
