"""`validate` says in words and by its exit code what it found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from uad_bench.cli import main


def test_the_command_by_folder_name_and_path(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        [str(lab / "MSLUB")],
        ["mslub", "--data-root", str(lab)],
        [f"mslub:{lab / 'MSLUB'}"],
    ):
        assert main(["validate", *arguments]) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[-1] == "no errors, no warnings, 4 notes in 3 scans of mslub"
        assert len({line.index("thick") for line in out if "thick" in line}) == 1
    other = tmp_path / "my-dataset"
    shutil.copytree(lab / "HI", other)
    assert main(["validate", str(other)]) == 0
    assert capsys.readouterr().out.endswith("in 6 scans of bids\n")


def test_the_command_exits_with_1_for_errors(
    mslub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mslub / "patient12/FLAIR.nii.gz").unlink()
    assert main(["validate", str(mslub)]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.split() == [
        *("error", "patient12", "patient12/FLAIR.nii.gz", "no", "such", "file;"),
        *("complete", "the", "dataset's", "folder"),
    ]
    assert last == "1 error, no warnings, 3 notes in 3 scans of mslub"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such/folder"], "is no folder"),
        (["mslub"], "no data root is set"),
        (["bids"], "name one, as bids:PATH"),
        (["bids:/no/such/folder"], "is no folder"),
        (["mslug"], "Did you mean 'mslub'?"),
        (["{empty}"], "holds no scan in the layout of bids, brats"),
        (["msi", "--data-root", "{lab}"], "no folder"),
        (["{lab}"], "holds datasets; name one: hi:"),
    ],
)
def test_bad_usage_is_one_line(
    lab: Path,
    tmp_path: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [argument.format(lab=lab, empty=tmp_path) for argument in arguments]
    assert main(["validate", *given]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error
