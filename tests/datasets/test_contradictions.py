"""What cannot be told apart by name is refused, in the same words by every command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from uad_bench.cli import main
from uad_bench.dataset import Scan
from uad_bench.discovery.contradictions import contradictions

MIXED = """
from pathlib import Path
from uad_bench.dataset import Dataset, DatasetInfo, Scan


class Mixed(Dataset):
    \"\"\"One name twice, and a person in two splits.\"\"\"

    info = DatasetInfo(
        name="mixed", title="mixed", disease="any", citation="", bibtex="", licence="l",
        obtain="o", layout="flair.nii.gz", folders=(),
    )

    def scans(self, root):
        flair = root / "flair.nii.gz"
        yield Scan("a", flair, split="train")
        yield Scan("a", flair, split="train")
        yield Scan("b", flair, session="1", split="train")
        yield Scan("b", flair, session="2", split="test")
"""


def test_every_contradiction_is_named_once(tmp_path: Path) -> None:
    flair = tmp_path / "flair.nii.gz"
    scans = [
        Scan("a", flair),
        Scan("a", flair),
        Scan("b", flair, "1"),
        Scan("b", flair, "2", (), True),
    ]
    assert [(one.scan, one.what) for one in contradictions(scans)] == [("a", "name")]
    scans.append(Scan("b", flair, "3", split="train"))
    assert [(one.scan, one.what) for one in contradictions(scans)] == [
        ("a", "name"),
        ("b_1", "split"),
    ]


@pytest.mark.parametrize("command", ["run", "prepare", "exclude"])
def test_commands_refuse_them_in_the_same_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    plugin = tmp_path / "mixed.py"
    plugin.write_text(MIXED)
    data = tmp_path / "data"
    data.mkdir()
    (data / "flair.nii.gz").touch()
    more = {
        "run": ("--methods", "thresholding", "--results", str(tmp_path / "results")),
        "prepare": ("--page", str(tmp_path / "page")),
        "exclude": (),
    }[command]
    words = (command, "--datasets", f"mixed:{data}", "--plugin", str(plugin), *more)
    assert main([*words, "--cache", str(tmp_path / "cache")]) == 2
    message = f"mixed: {data}: a: 2 scans have this name; rename one (and 1 more such errors)"
    assert message in capsys.readouterr().err
    assert main(["data", f"mixed:{data}", "--plugin", str(plugin)]) == 0
    assert message in capsys.readouterr().out
    assert main(["validate", f"mixed:{data}", "--plugin", str(plugin)]) == 1
    shown = capsys.readouterr().out
    assert "2 scans have this name; rename one" in shown
    assert "b is in test and train; a person belongs to one split" in shown


@pytest.mark.parametrize("command", ["run", "run --train", "prepare"])
def test_two_folders_of_one_name_are_refused(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for parent in ("first", "second"):
        shutil.copytree(lab / "HI", tmp_path / parent / "people")
    first, second = (f"bids:{tmp_path / parent / 'people'}" for parent in ("first", "second"))
    which = ("--train", first, "--datasets", second) if "--train" in command else ()
    which = which or ("--datasets", f"{first},{second}")
    more = ("--page", str(tmp_path / "page"))
    if command != "prepare":
        more = ("--methods", "thresholding", "--results", str(tmp_path / "results"))
    assert (
        main([command.split(maxsplit=1)[0], *which, *more, "--cache", str(tmp_path / "cache")]) == 2
    )
    assert "would both be called bids-people: rename one folder" in capsys.readouterr().err
