"""``uad-bench status`` shows what was typed and why cells failed, letter by letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_cells import made_cell

from uad_bench.cli import main
from uad_bench.results import ResultsFolder, write_cell
from uad_bench.runner.plan.plan import PlanFile, PlannedCell
from uad_bench.system.disk import write_whole

CELL = PlannedCell(
    method="spa",
    params={},
    seed=0,
    dataset="mslub",
    protocol="strict",
    postprocessing="none",
    code="",
)


@pytest.mark.parametrize("folder", ["[old] ones", "a[/b]"])
def test_brackets_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str):
    """rich dropped them, or ended with a traceback."""
    results = ResultsFolder(tmp_path / "results")
    reason = "needs HD-BET: pip install 'uad-bench[prepare]'"
    write_cell(results, made_cell("spa", reason=reason))
    file = PlanFile(command=f"uad-bench run --cache '{folder}'", cells=(CELL,))
    write_whole(results.plan, json.dumps(file.model_dump()).encode())
    assert main(["status", "--results", str(results.root)]) == 0
    out = capsys.readouterr().out
    assert f"failed: spa on mslub: {reason}\n" in out
    assert f"go on with: uad-bench run --cache '{folder}'\n" in out


def test_a_run_of_another_folder_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command may have relative paths, and began anew where it was copied."""
    results = ResultsFolder(tmp_path / "results")
    plan = {"command": "uad-bench run", "folder": str(tmp_path), "cells": [CELL.model_dump()]}
    write_whole(results.plan, json.dumps(plan).encode())
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 0
    assert "go on with: uad-bench run\n" in capsys.readouterr().out
    monkeypatch.chdir(results.root)
    assert main(["status", "--results", "."]) == 0
    assert f"go on, in {tmp_path}, with: uad-bench run\n" in capsys.readouterr().out
