"""A store is whole or not there, whoever made it and whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_store import RECIPE, Toy, contents, leftovers, prepare

from uad_bench.dataset import Scan
from uad_bench.errors import UadBenchError
from uad_bench.volumes.store import write
from uad_bench.volumes.store.prepared import PreparedDataset


@pytest.mark.parametrize("after", [0, 2, 5])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    raw: tuple[Path, list[Scan]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    root, scans = raw
    calls = []

    def full(self: write.ArrayFile, rows: np.ndarray) -> None:
        calls.append(len(rows))
        if len(calls) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, rows)

    original = write.ArrayFile.append
    monkeypatch.setattr(write.ArrayFile, "append", full)
    with pytest.raises(UadBenchError, match="the disk is full while writing"):
        prepare(Toy(scans[:2]), root, RECIPE, tmp_path, simulated=True)
    assert leftovers(tmp_path) == []


def test_ctrl_c_leaves_nothing_and_a_killed_run_is_cleaned_up(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw

    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Toy(scans[:2]), root, RECIPE, tmp_path, simulated=True, on_scan=interrupt)
    assert leftovers(tmp_path) == []
    made = prepare(Toy(scans[:2]), root, RECIPE, tmp_path, simulated=True)
    killed = made.folder.rename(tmp_path / f".{made.folder.name}.partial")
    (killed / "manifest.json").unlink()
    again = prepare(Toy(scans[:2]), root, RECIPE, tmp_path, simulated=True)
    assert leftovers(tmp_path) == [again.folder.name]


def test_a_damaged_store_is_refused_and_prepared_again(
    raw: tuple[Path, list[Scan]], tmp_path: Path
) -> None:
    root, scans = raw
    made = prepare(Toy(scans[:1]), root, RECIPE, tmp_path, simulated=True)
    before = contents(made.folder)
    for name in ("manifest.json", "image.npy", "index.csv"):
        path = made.folder / name
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(UadBenchError, match="prepare again"):
            PreparedDataset.open(made.folder)
        prepare(Toy(scans[:1]), root, RECIPE, tmp_path, simulated=True)
        assert contents(made.folder) == before
    with pytest.raises(UadBenchError, match="not a whole prepared store"):
        PreparedDataset.open(tmp_path / "nowhere")


def test_a_whole_store_of_another_user_is_used_without_writing_beside_it(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, scans = raw

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("os.open", "os.mkdir", "shutil.rmtree"):
        monkeypatch.setattr(name, refuse)
    again = prepare(Toy(scans), root, RECIPE, store.folder.parent, simulated=True)
    assert again.manifest_hash == store.manifest_hash


def test_a_store_that_another_user_does_not_share_is_named_and_kept(
    raw: tuple[Path, list[Scan]], store: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, scans = raw
    read = Path.read_text

    def refuse(path: Path, *args: Any, **options: Any) -> str:
        if path == store.folder / "manifest.json":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path, *args, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UadBenchError, match=r"is not yours to read: ask whoever made it.*--cache"):
        prepare(Toy(scans), root, RECIPE, store.folder.parent, simulated=True)
    monkeypatch.undo()
    PreparedDataset.open(store.folder)


def test_a_store_that_finds_no_memory_is_not_called_damaged_nor_deleted(
    store: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as full:
        full.setattr(np, "load", refuse)
        with pytest.raises(MemoryError, match="cannot be mapped"):
            PreparedDataset.open(store.folder)
    assert PreparedDataset.open(store.folder).scans == store.scans
