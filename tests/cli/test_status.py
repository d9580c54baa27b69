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


@pytest.mark.parametrize("folder", ["[old] ones", "a[/b]"])
def test_brackets_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str):
    """rich dropped them, or ended with a traceback."""
    results = ResultsFolder(tmp_path / "results")
    reason = "needs HD-BET: pip install 'uad-bench[prepare]'"
    write_cell(results, made_cell("spa", reason=reason))
    cell = PlannedCell(
        method="spa",
        params={},
        seed=0,
        dataset="mslub",
        protocol="strict",
        postprocessing="none",
        code="",
    )
    file = PlanFile(command=f"uad-bench run --cache '{folder}'", cells=(cell,))
    write_whole(results.plan, json.dumps(file.model_dump()).encode())
    assert main(["status", "--results", str(results.root)]) == 0
    out = capsys.readouterr().out
    assert f"failed: spa on mslub: {reason}\n" in out
    assert f"go on with: uad-bench run --cache '{folder}'\n" in out
