"""A dataset's folder is found by name; what is wrong with it is said in one line."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import typer
from typer.testing import CliRunner

from uad_bench.cli import main
from uad_bench.cli.commands.data import data
from uad_bench.dataset import Dataset, DatasetInfo, Scan
from uad_bench.discovery.locate import inspect, locate
from uad_bench.errors import UadBenchError

INFO = DatasetInfo(
    name="toy",
    title="toy",
    disease="none",
    citation="none",
    bibtex="@misc{toy}",
    licence="none",
    obtain="nowhere",
    layout="""toy/
  readme.txt
  site/                 (a remark)
    case01/
      flair.nii.gz      the scan
      mask.nii.gz""",
    folders=("toy", "Toy_2020"),
    expected_scans=2,
)


class Toy(Dataset):
    info: ClassVar[DatasetInfo] = INFO

    def scans(self, root: Path) -> Iterator[Scan]:
        for case in sorted(root.glob("case*")):
            yield Scan(case.name[:6], case / "flair.nii.gz", lesion=(case / "mask.nii.gz",))


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", ["toy", "TOY", "toy_2020", "Toy_2020"])
def test_folder_is_found_below_the_root_in_any_letter_case(tmp_path: Path, name: str) -> None:
    make(tmp_path / name)
    assert locate(INFO, tmp_path) == tmp_path / name


@pytest.mark.parametrize("other", ["TOY", "toy_2020"])
def test_two_folders_that_may_be_the_dataset_are_refused(tmp_path: Path, other: str) -> None:
    make(tmp_path / "toy")
    make(tmp_path / other)
    with pytest.raises(UadBenchError, match=rf"{other}.* may each be toy: rename") as caught:
        locate(INFO, tmp_path)
    assert "toy and" in str(caught.value) or "and toy" in str(caught.value)


def test_a_link_to_the_dataset_under_its_other_name_is_the_dataset(tmp_path: Path) -> None:
    make(tmp_path / "toy")
    (tmp_path / "Toy_2020").symlink_to("toy")
    found = locate(INFO, tmp_path)
    assert found is not None
    assert found.samefile(tmp_path / "toy")


def test_the_root_itself_may_be_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "ToY")
    assert locate(INFO, root) == root
    monkeypatch.chdir(root)
    assert locate(INFO, Path()) == Path()


def test_an_absent_dataset_is_none_and_a_file_of_its_name_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "toy").touch()
    assert locate(INFO, tmp_path) is None


def test_a_data_root_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match=r"does not exist: give .* --data-root"):
        locate(INFO, tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(UadBenchError, match="is not a folder"):
        locate(INFO, tmp_path / "file")


def test_complete_scans_have_no_problems(tmp_path: Path) -> None:
    make(tmp_path / "case01", "flair.nii.gz", "mask.nii.gz")
    found = inspect(Toy(), tmp_path)
    assert [scan.subject for scan in found.scans] == ["case01"]
    assert (found.folder, found.missing, found.problems) == (tmp_path, (), ())


def test_missing_files_are_named_with_their_scan(tmp_path: Path) -> None:
    make(tmp_path / "case01", "flair.nii.gz", "mask.nii.gz")
    make(tmp_path / "case02", "flair.nii.gz")
    found = inspect(Toy(), tmp_path)
    assert found.missing == (tmp_path / "case02" / "mask.nii.gz",)
    assert found.problems == (f"case02: {tmp_path / 'case02' / 'mask.nii.gz'} is missing",)


def test_a_folder_without_scans_names_folder_and_layout_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UadBenchError) as caught:
        inspect(Toy(), tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "toy/site/case01/flair.nii.gz" in message
    assert "`uad-bench data --datasets toy`" in message
    assert "\n" not in message


def test_an_absent_folder_and_double_scans_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match=r"toy: the folder .* does not exist"):
        inspect(Toy(), tmp_path / "absent")
    make(tmp_path / "case01")
    make(tmp_path / "case01b")
    with pytest.raises(UadBenchError, match="case01: 2 scans have this name"):
        inspect(Toy(), tmp_path)


@pytest.mark.parametrize("whole", [True, False])
def test_a_name_that_is_not_utf_8_is_one_line(
    tmp_path: Path, whole: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an archive from a Windows machine of Latin-1 unpacks it."""
    name = os.fsdecode(b"T\xfcbingen")
    root = tmp_path / (name if whole else "clinic")
    subject = "sub-01" if whole else f"sub-{name}"
    image = root / subject / "anat" / f"{subject}_FLAIR.nii.gz"
    image.parent.mkdir(parents=True)
    image.touch()
    assert (
        main(["run", "--methods", "thresholding", "--datasets", f"bids:{root}", "--dry-run"]) == 2
    )
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "UTF-8; rename it" in shown.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_folder_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    locked = make(tmp_path / "toy")
    locked.chmod(0)
    try:
        with pytest.raises(UadBenchError, match="cannot be read"):
            locate(INFO, locked)
    finally:
        locked.chmod(0o700)


PLUGIN = '''
"""A dataset of the tests."""
from uad_bench.dataset import Dataset, DatasetInfo, Scan


class Clinic(Dataset):
    """Three people."""

    info = DatasetInfo(
        name="clinic", title="our clinic", disease="stroke", citation="us", bibtex="@misc{us}",
        licence="private", obtain="ask us", layout="clinic/\\n  p1/\\n    flair.nii",
        folders=("clinic",), expected_scans=3,
    )

    def scans(self, root):
        for person in sorted(root.glob("p*")):
            for time in ("1", "2"):
                yield Scan(person.name, person / f"flair{time}.nii", time, site="Bonn")
'''


def show(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(data)
    result = CliRunner().invoke(app, arguments, env={"UAD_BENCH_DATA": ""})
    if result.exception is not None:
        raise result.exception
    return result.output


def row(text: str, label: str) -> str:
    (line,) = (line for line in text.splitlines() if line.strip().startswith(f"{label} "))
    return line.split(label, 1)[1].strip()


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    plugin = tmp_path / "clinic_plugin.py"
    plugin.write_text(PLUGIN)
    return plugin


def test_data_says_what_is_there_and_what_is_missing(tmp_path: Path, clinic: Path) -> None:
    folder = make(tmp_path / "Clinic" / "p1", "flair1.nii", "flair2.nii").parent
    make(folder / "p2", "flair1.nii")
    text = show("clinic", "--data-root", str(tmp_path), "--plugin", str(clinic))
    assert row(text, "looked in") == f"{tmp_path} for clinic (any letter case)"
    assert row(text, "found") == str(folder)
    assert row(text, "scans") == "4 (2 subjects, 2 sessions each)"
    assert row(text, "splits") == "test 4"
    assert row(text, "sites") == "Bonn 4"
    assert row(text, "missing") == f"p2_2: {folder / 'p2' / 'flair2.nii'}"
    assert row(text, "obtain") == "ask us"
    assert row(text, "licence") == "private"
    assert "p1/\n" in text, "the layout is printed as a tree"


def test_data_counts_against_the_published_dataset(tmp_path: Path, clinic: Path) -> None:
    make(tmp_path / "clinic" / "p1", "flair1.nii", "flair2.nii")
    text = show("clinic", "--data-root", str(tmp_path), "--plugin", str(clinic))
    assert row(text, "missing") == "1 of the published dataset's 3 scans"


def test_data_without_a_root_says_what_to_set_and_that_runs_are_simulated() -> None:
    text = show()
    for name in ("hi", "mslub", "msisbi", "msi", "wmh", "gbi", "brats", "bids"):
        assert f"\n{name}  " in f"\n{text}"
    assert text.count("UAD_BENCH_DATA=DIR") == 7
    assert "--datasets bids:PATH" in text
    assert "simulated" in text.splitlines()[-1]
    assert "\x1b" not in text, "no colours in a pipe"


def test_data_shows_a_bad_folder_and_goes_on(tmp_path: Path) -> None:
    make(tmp_path / "wmh")
    text = show("--data-root", str(tmp_path))
    assert "wmh/training/Utrecht/0/pre/FLAIR.nii.gz" in row(text, "problem")
    assert "\nmslub  " in text


def test_data_shows_two_folders_of_one_dataset_and_goes_on(tmp_path: Path) -> None:
    make(tmp_path / "MSLUB")
    make(tmp_path / "mslub")
    text = show("--data-root", str(tmp_path))
    assert "MSLUB and mslub may each be mslub" in row(text, "problem")
    assert "\nwmh  " in text
    assert text.splitlines()[-1].startswith("Look again at mslub: ")


def test_data_names_at_its_end_what_needs_a_look_and_nothing_where_all_is_well(
    tmp_path: Path, clinic: Path
) -> None:
    clinic.write_text(PLUGIN.replace('site="Bonn"', 'site="Bonn", healthy=True'), encoding="utf-8")
    folder = tmp_path / "clinic"
    for person in ("p1", "p2", "p3"):
        make(folder / person, "flair1.nii", "flair2.nii")
    asked = ("clinic", "--plugin", str(clinic), "--data-root", str(tmp_path))
    assert "Look again" not in show(*asked)
    (folder / "p1" / "flair1.nii").unlink()
    assert show(*asked).splitlines()[-1].startswith("Look again at clinic: ")


def test_data_marks_simulated_datasets(tmp_path: Path) -> None:
    make(tmp_path / "mslub", "SIMULATED.txt")
    make(tmp_path / "mslub" / "patient01", "FLAIR.nii.gz", "consensus_gt.nii.gz")
    assert row(show("mslub", "--data-root", str(tmp_path)), "found").endswith("(simulated)")


def test_data_refuses_a_wrong_root_and_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(UadBenchError, match="does not exist"):
        show("--data-root", str(tmp_path / "absent"))
    with pytest.raises(UadBenchError, match="Did you mean 'mslub'"):
        show("mslubb")


def test_data_lists_a_dataset_that_does_not_import_and_goes_on(clinic: Path) -> None:
    clinic.write_text(f"import no_such_module\n{PLUGIN}", encoding="utf-8")
    text = show("--plugin", str(clinic))
    assert "no_such_module" in row(text, "problem")
    assert "\nmslub  " in text
    with pytest.raises(UadBenchError, match="does not import"):
        show("clinic", "--plugin", str(clinic))
