"""A command reads each dataset's folder once, whatever it does with it afterwards."""

from __future__ import annotations

import shutil
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from uad_bench.cli import main
from uad_bench.dataset import Dataset
from uad_bench.discovery.bids import ignore
from uad_bench.plugins.registry import discover

TOO = ("--cache", "{cache}")
RUN = ("--methods", "thresholding", "--controls", "", "--results", "{box}/results", *TOO)
MIXED = ("--train", "bids:{mixed}", "--datasets", "bids:{mixed}")
COMMANDS = {
    "run": (
        *("run", *RUN, "--no-mlflow", "--limit", "1", "--postprocessing", "none"),
        *("--datasets", "all,mslub", "--data-root", "{lab}"),
    ),
    "run --dry-run": ("run", *RUN, "--dry-run", "--datasets", "all", "--data-root", "{lab}"),
    "run, trained and tested on one": ("run", *RUN, "--dry-run", *MIXED),
    "prepare": (
        *("prepare", "--data-root", "{lab}", "--page", "{box}/page", *TOO),
        *("--limit", "1", "-j", "1"),
    ),
    "prepare --dry-run": ("prepare", "--dry-run", "--data-root", "{lab}", *TOO),
    "validate NAME": ("validate", "mslub", "--data-root", "{lab}"),
    "validate NAME:PATH": ("validate", "bids:{mixed}"),
    "validate DIR": ("validate", "{mixed}"),
    "data": ("data", "--data-root", "{lab}"),
    "data NAME:PATH": ("data", "bids:{mixed}"),
    "exclude": ("exclude", "--datasets", "bids:{mixed}", *TOO),
    "atlas build": ("atlas", "build", "{box}/atlas", "--data-root", "{lab}", "--limit", "1", *TOO),
    "predict": (
        *("predict", "{lab}/MSLUB/patient11/FLAIR.nii.gz", "-m", "thresholding"),
        *("-o", "{box}/map.nii.gz", "--train", "bids:{mixed}", *TOO),
    ),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared datasets, shared by the tests of this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def mixed(lab: Path, tmp_path: Path) -> Path:
    """Three healthy people in BIDS under a name of no dataset; a table says who is tested."""
    folder = tmp_path / "people"
    shutil.copytree(lab / "HI", folder, ignore=shutil.ignore_patterns("sub-00[456]*"))
    rows = ("sub-001\ttrain", "sub-002\tvalidation", "sub-003\ttest")
    text = "participant_id\tsplit\tgroup\n" + "".join(f"{row}\tcontrol\n" for row in rows)
    (folder / "participants.tsv").write_text(text)
    return folder


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """Counts who reads which folder: adapters, the walk over all files, the list of people."""
    counts: Counter[tuple[str, str]] = Counter()

    def count(owner: Any, name: str) -> None:
        genuine = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            who = type(arguments[0]).__name__ if isinstance(arguments[0], Dataset) else name
            counts[who, str(arguments[-1])] += 1
            return genuine(*arguments)

        monkeypatch.setattr(owner, name, counted)

    bids = import_module(discover().dataset("bids").__module__)
    count(bids.Bids, "read")
    count(bids, "read_participants")
    count(Dataset, "read")
    count(ignore, "walk_files")
    return counts


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reads_each_folder_once(
    lab: Path,
    cache: Path,
    mixed: Path,
    tmp_path: Path,
    seen: Counter[tuple[str, str]],
    command: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [
        word.format(lab=lab, cache=cache, box=tmp_path, mixed=mixed) for word in COMMANDS[command]
    ]
    code = main(words)
    assert code == 0, capsys.readouterr().err
    readers = {key: number for key, number in seen.items() if key[0] not in ignored(command)}
    assert readers
    assert {key: number for key, number in readers.items() if number != 1} == {}


def ignored(command: str) -> tuple[str, ...]:
    """Who reads a folder for every adapter that may be meant, where the user names none."""
    return ("walk_files", "read_participants") if command == "validate DIR" else ()
