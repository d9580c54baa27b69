"""A cell that is there is kept, refused or computed again as it was asked for."""

from __future__ import annotations

import json
import shlex

from box_runs import BOX, quick, table, uad_bench

from uad_bench.results import load_cells


def test_overwrite_all_trains_again_what_it_runs_and_touches_nothing_else(
    lab, cache, box, tmp_path, monkeypatch
):
    command = quick(lab, cache, box)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    detectors, tuning = tmp_path / "results/detectors", tmp_path / "results/tuning"
    (trained,) = detectors.glob("box-s0-*")
    (trained / "mark").touch()
    others = [detectors / "box-small-s0-deadbeef", detectors / "box-s7-deadbeef"]
    for folder in others:
        folder.mkdir()
    tuning.mkdir(exist_ok=True)
    (tuning / "box-small-x.log").touch()
    monkeypatch.setattr("sys.argv", ["uad-bench", *map(str, command), "--overwrite", "all"])
    assert uad_bench(*command, "--overwrite", "all", cwd=tmp_path).returncode == 0
    plan = json.loads((tmp_path / "results/plan.json").read_text())
    assert plan["command"] == shlex.join(["uad-bench", *map(str, command)]), "it begins not anew"
    assert trained.is_dir()
    assert not (trained / "mark").exists()
    assert all(path.is_dir() for path in others)
    assert (tuning / "box-small-x.log").is_file()


def test_overwrite_failed_where_nothing_is_yet_computes_nothing(lab, cache, box, tmp_path):
    done = uad_bench(*quick(lab, cache, box), "--overwrite", "failed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (done.stdout, "0 cells" in done.stderr) == ("", True)


def test_cells_of_other_data_are_neither_shown_as_this_runs_nor_replaced(lab, cache, box, tmp_path):
    command = quick(lab, cache, box)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    cell = next((tmp_path / "results" / "cells").glob("*.json"))
    before = cell.read_bytes()
    for change in (
        ["--limit", "2"],
        ["--recipe", "paper"],
        ["--recipe", "paper", "--overwrite", "never"],
    ):
        other = uad_bench(*command, *change, cwd=tmp_path)
        assert other.returncode == 2, other.stdout
        assert f"{cell.name} stands on other data than this run" in other.stderr
        assert other.stdout == ""
        assert cell.read_bytes() == before
    replaced = uad_bench(*command, "--recipe", "paper", "--overwrite", "all", cwd=tmp_path)
    assert replaced.returncode == 0, replaced.stderr
    assert "recipe: paper" in table(tmp_path)


def test_cells_of_an_older_protocol_are_refused_by_every_command_that_uses_them(
    lab, cache, box, tmp_path
):
    command = quick(lab, cache, box)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    cell = next((tmp_path / "results" / "cells").glob("*.json"))
    old = {k: v for k, v in json.loads(cell.read_text()).items() if k != "protocol_version"}
    cell.write_text(json.dumps(old))
    before = sorted(tmp_path.rglob("*"))
    for more in (
        command,
        [*command, "--dry-run"],
        ["table"],
        ["plot", "cost"],
        ["report"],
        ["sync"],
    ):
        done = uad_bench(*more, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = [one for one in done.stderr.splitlines() if one.startswith("error:")]
        assert "strict, version 1" in line
        assert "--overwrite all" in line
    assert sorted(tmp_path.rglob("*")) == before
    anew = uad_bench(*command, "--overwrite", "all", "--dry-run", cwd=tmp_path)
    assert anew.returncode == 0, anew.stderr
    replaced = uad_bench(*command, "--overwrite", "all", cwd=tmp_path)
    assert replaced.returncode == 0, replaced.stderr
    assert "Protocol strict, version 2" in table(tmp_path)


def test_an_edited_method_is_never_answered_from_old_cells(lab, cache, tmp_path):
    plugin = tmp_path / "box.py"
    plugin.write_text(BOX)
    command = quick(lab, cache, plugin)
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    (cell,) = (tmp_path / "results" / "cells").glob("*.json")
    old, plan = cell.read_bytes(), (tmp_path / "results" / "plan.json").read_bytes()

    plugin.write_text(BOX.replace('"""A box', '"""One box'))
    same = uad_bench(*command, cwd=tmp_path)
    assert "0 computed now" in same.stderr
    assert cell.read_bytes() == old

    plugin.write_text(BOX.replace("image - 0.5", "image - 0.6"))
    assert "1 cell, 0 of them done" in uad_bench(*command, "--dry-run", cwd=tmp_path).stdout
    for overwrite in ("never", "failed"):
        kept = uad_bench(*command, "--overwrite", overwrite, cwd=tmp_path)
        assert kept.returncode == 2
        assert "error: the code of box changed since 1 cell of it came to be, and" in kept.stderr
    assert cell.read_bytes() == old
    assert (tmp_path / "results" / "plan.json").read_bytes() == plan

    anew = uad_bench(*command, cwd=tmp_path)
    assert "note: the code of box changed since 1 cell of it came to be: computed" in anew.stderr
    assert "1 computed now" in anew.stderr
    (now,) = load_cells(tmp_path / "results")
    assert now.code != json.loads(old)["code"]
    assert now.fit.detector != json.loads(old)["fit"]["detector"]
    assert len(list((tmp_path / "results" / "detectors").glob("box-*"))) == 2
    assert "0 computed now" in uad_bench(*command, cwd=tmp_path).stderr
