"""Records are there whole or not at all, and what cannot be written or read is one line."""

import errno
import gc
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_cells import made_cell

from uad_bench.cells import CellRecord, CellSpec, short_hash
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.values import Metric, ScanScores
from uad_bench.results import ResultsFolder, load_cells, stored_cells, write_cell
from uad_bench.system.collector import collector_paused
from uad_bench.system.disk import write_whole


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path, monkeypatch):
    file = tmp_path / "cell.json"
    write_whole(file, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UadBenchError, match=r"the disk is full while writing .*cell\.json"):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["cell.json"]


def test_an_interrupt_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "cell.json", b"new")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_used_by_one_run_at_a_time(tmp_path: Path):
    folder = ResultsFolder(tmp_path / "results")
    with (
        folder.lock(),
        pytest.raises(UadBenchError, match="another run is using"),
        folder.lock(),
    ):
        pass
    with folder.lock():
        pass


def test_what_a_killed_run_left_of_a_write_is_removed_by_the_next(tmp_path: Path):
    folder = ResultsFolder(tmp_path)
    half = [folder.cells / ".partial-1", folder.detectors / ".training-x" / ".partial-2"]
    half += [folder.detectors / ".partial-x" / "detector.json"]
    kept = [folder.cells / "a.json", folder.detectors / ".training-x" / "1"]
    for file in (*half, *kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    with folder.lock():
        assert sorted(file for file in tmp_path.rglob("*") if file.is_file()) == sorted(
            [*kept, tmp_path / ".lock"]
        )


def test_a_damaged_record_is_named_with_what_to_do(tmp_path: Path):
    cells = ResultsFolder(tmp_path).cells
    cells.mkdir()
    (cells / "spa.json").write_text('{"schema_version": 1')
    with pytest.raises(UadBenchError, match=r"spa\.json is not a cell record .*delete it"):
        load_cells(tmp_path)


def finished() -> CellRecord:
    return made_cell(
        "spa",
        "wmh",
        metrics={
            "dice": Metric(value=0.1 + 0.2, low=0.25, high=0.5, subjects=4),
            "hd95": Metric(value=None, unit="mm", better="lower", skipped=3),
            "fpr": Metric(value=0.01, better=None, target=0.01),
        },
        scans=(ScanScores(subject="a", session="1", metrics={"dice": 0.3, "hd95": None}),),
    )


def test_a_cell_comes_back_from_its_file_with_every_number(tmp_path: Path):
    folder = ResultsFolder(tmp_path)
    path = write_cell(folder, finished())
    assert stored_cells(folder) == (finished(),)
    stored = json.loads(path.read_text())
    assert stored["metrics"]["hd95"] == {
        "value": None, "low": None, "high": None, "unit": "mm", "better": "lower",
        "target": None, "subjects": 0, "penalised": 0, "skipped": 3,
    }  # fmt: skip
    assert stored["scans"] == [
        {"subject": "a", "session": "1", "metrics": {"dice": 0.3, "hd95": None}}
    ]


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('"low": 0.25', '"low": "much"', "metrics.dice.low"),
        ('"low": 0.25', '"lower": 0.25', "metrics.dice.lower"),
        ('"better": "lower"', '"better": "nearer"', "metrics.hd95.better"),
        ('"subject": "a"', '"person": "a"', "scans.0.subject"),
    ],
)
def test_a_number_that_is_none_is_named_with_its_place(tmp_path: Path, old, new, where):
    path = write_cell(ResultsFolder(tmp_path), finished())
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UadBenchError, match=rf"is not a cell record \({where}"):
        load_cells(tmp_path)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"steps": 1, "rate": 1.0, "on": True, "weights": None},
        {"steps": 1.0, "rate": 1, "on": 1, "weights": None},
        {"sizes": [1, (2, {"a": "ß"})]},
        {"weights": Path("a")},
    ],
)
def test_cells_are_named_by_the_hash_of_their_parameters(params):
    """It is kept for further cells with the same parameters: 1, 1.0 and true are not the same."""
    spec = made_cell("spa", params=params).spec
    assert [spec.params_hash, CellSpec(**dict(spec)).params_hash] == 2 * [short_hash(params)]


def test_numbers_whose_sum_is_too_large_are_numbers(tmp_path: Path):
    most = {name: Metric(value=1.7e308) for name in ("dice", "hd95")}
    folder = ResultsFolder(tmp_path)
    write_cell(folder, finished().model_copy(update={"metrics": most}))
    (found,) = stored_cells(folder)
    assert found.metrics == most


def test_garbage_is_searched_for_again_after_a_failure():
    @collector_paused()
    def fail() -> None:
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.isenabled()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("old", ['"value": 0.01', '"dice": 0.3'])
def test_what_is_no_number_is_refused(tmp_path: Path, old, number):
    path = write_cell(ResultsFolder(tmp_path), finished())
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, f"{old.split(':')[0]}: {number}"))
    with pytest.raises(UadBenchError, match=r"is not a cell record \(.* finite number\)"):
        load_cells(tmp_path)


def test_numbers_without_end_are_written_as_none(tmp_path: Path):
    endless = replace(finished().metrics["dice"], high=float("inf"))
    record = finished().model_copy(update={"metrics": {"dice": endless}})
    write_cell(ResultsFolder(tmp_path), record)
    (read,) = load_cells(tmp_path)
    assert read.metrics["dice"].high is None


def test_an_empty_folder_says_what_would_fill_it(tmp_path: Path):
    with pytest.raises(UadBenchError, match=r"no results in .*`uad-bench run` writes them"):
        load_cells(tmp_path)


@given(umask=st.integers(0, 0o777), old=st.none() | st.sampled_from([0o600, 0o644, 0o666]))
def test_who_may_read_a_file_the_umask_decides(umask, old, tmp_path_factory):
    """Results can hold patients' names; a group may share them."""
    file = tmp_path_factory.mktemp("results") / "cell.json"
    if old is not None:
        file.touch()
        file.chmod(old)
    before = os.umask(umask)
    try:
        write_whole(file, b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        UadBenchError, match=r"cannot write .*cell\.json: (Not a directory|File exists)"
    ):
        write_whole(tmp_path / "file" / "cells" / "cell.json", b"new")


@given(depth=st.integers(1, 3), there=st.booleans())
def test_a_symbolic_link_stays_and_its_target_is_replaced(depth, there, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    target = folder / "elsewhere" / "table.txt"
    target.parent.mkdir()
    if there:
        target.write_bytes(b"old")
    link = target
    for number in range(depth):
        link, former = folder / f"link{number}", link
        link.symlink_to(former)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["table.txt"]


def test_a_link_to_itself_is_one_line_and_stays(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(UadBenchError, match=r"cannot write .*a: "):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").is_symlink()


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_device_is_written_to_and_stays_a_device(tmp_path):
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (Path(os.devnull), tmp_path / "link"):
        write_whole(path, b"new")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_that_takes_nothing_is_one_line():
    with pytest.raises(UadBenchError, match="the disk is full while writing /dev/full"):
        write_whole(Path("/dev/full"), b"new")


def test_a_copied_cell_is_named_with_the_file_that_it_is_a_copy_of(tmp_path):
    folder = ResultsFolder(tmp_path)
    whole = write_cell(folder, finished())
    copy = whole.with_name(whole.name.replace("-s0-", "-s1-"))
    copy.write_bytes(whole.read_bytes())
    with pytest.raises(UadBenchError) as caught:
        load_cells(tmp_path)
    assert copy.name in str(caught.value)
    assert whole.name in str(caught.value)
    copy.unlink()
    assert load_cells(tmp_path) == (finished(),)
