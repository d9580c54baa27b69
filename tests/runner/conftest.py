"""Prepared datasets, a stranger's method, and a lab for sweeps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from box_runs import BOX
from made_sweeps import FADE, Bench


@pytest.fixture
def cache(prepared: Path) -> Path:
    """Prepared datasets."""
    return prepared


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's method in one file."""
    file = tmp_path_factory.mktemp("plugin") / "box.py"
    file.write_text(BOX)
    return file


@pytest.fixture(scope="module")
def bench_folder(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    shutil.copytree(lab / "HI", folder / "data" / "HI")
    splits = dict(zip(("sub-001", "sub-004"), ("train", "validation"), strict=True))
    people = {
        path.name: splits.get(path.name, "test") for path in (folder / "data" / "HI").glob("sub-*")
    }
    for name in ("sub-002", "sub-003"):
        shutil.rmtree(folder / "data" / "HI" / name)
        del people[name]
    rows = ["participant_id\tsplit", *("\t".join(pair) for pair in sorted(people.items()))]
    (folder / "data" / "HI" / "participants.tsv").write_text("\n".join(rows) + "\n")
    (folder / "fade.py").write_text(FADE)
    (folder / "thick.yaml").write_text("slice_mm: 8\n")
    return folder


@pytest.fixture
def bench(bench_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    log = tmp_path / "trained.txt"
    monkeypatch.setenv("FADE_LOG", str(log))
    parts = ("data", "cache", "thick.yaml", "fade.py")
    return Bench(*(bench_folder / part for part in parts), log)
