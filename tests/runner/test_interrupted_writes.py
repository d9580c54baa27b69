"""A full disk or a power loss is one line, and nothing half-written is used."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

import pytest
from box_runs import quick, uad_bench


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_temporary_maps_ends_the_run_with_one_line(
    lab, cache, box, tmp_path, monkeypatch
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "none.u16").symlink_to("/dev/full")
    monkeypatch.setattr(
        "uad_bench.runner.detectors.scoring.tempfile.TemporaryDirectory",
        lambda **_: contextlib.nullcontext(tmp_path / "full"),
    )
    done = uad_bench(*quick(lab, cache, box), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "error: the disk is full while writing" in done.stderr
    assert not list((tmp_path / "results").glob("cells/*"))


def test_a_full_disk_for_weights_is_not_the_methods_failure(lab, cache, box, tmp_path, monkeypatch):
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("uad_bench.runner.detectors.folder.opened_whole", full)
    done = uad_bench(*quick(lab, cache, box), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "error: the disk is full while writing results/detectors/box-s0-" in done.stderr
    assert not list((tmp_path / "results").glob("cells/*"))
    assert not list((tmp_path / "results" / "detectors").iterdir())


def test_a_damaged_detector_says_what_to_delete_and_its_checkpoint_stays(lab, cache, box, tmp_path):
    command = quick(lab, cache, box)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    (folder,) = (tmp_path / "results/detectors").glob("box-*")
    (cell,) = (tmp_path / "results/cells").glob("*.json")
    cell.unlink()
    (folder / "state.safetensors").write_bytes(b"")  # as a power loss may leave it
    checkpoint = folder.with_name(f".training-{folder.name}")
    checkpoint.mkdir()
    done = uad_bench(*command, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    where = f"results/detectors/{folder.name}"
    assert f"damaged, its SHA-256 is another; train the detector again: delete {where}, and" in (
        done.stderr
    )
    assert checkpoint.is_dir()
    shutil.rmtree(folder)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    assert not checkpoint.exists()


def test_a_detector_is_on_the_disk_before_it_has_its_name(lab, cache, box, tmp_path, monkeypatch):
    """Its checkpoint is removed then; a power loss would leave neither."""
    synced: list[str] = []
    sync = os.fsync

    def noted(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink().parent.name)
        sync(file)

    monkeypatch.setattr("uad_bench.system.disk.os.fsync", noted)
    assert uad_bench(*quick(lab, cache, box), cwd=tmp_path).returncode == 0
    (folder,) = (tmp_path / "results/detectors").glob("box-*")
    assert synced.count(f".partial-{folder.name}") == 2
