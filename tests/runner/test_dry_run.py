"""A dry run says what a run would do, and writes nothing."""

from __future__ import annotations

import pytest
from box_runs import arguments, quick, uad_bench

from uad_bench.plugins.registry import open_registry
from uad_bench.results import load_cells
from uad_bench.runner.costs.known import Costs, costs_of_cells


def test_dry_run_writes_nothing(lab, cache, box, tmp_path):
    done = uad_bench(*arguments(lab, cache, box), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 cells, 0 of them done" in done.stdout
    assert not (tmp_path / "results").exists()


def test_earlier_cells_say_what_the_same_takes_again(lab, cache, box, tmp_path):
    command = quick(lab, cache, box)
    first = uad_bench(*command, "--dry-run", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "a probe" in first.stdout
    assert not (tmp_path / "results").exists()
    assert uad_bench(*command, cwd=tmp_path).returncode == 0
    done = uad_bench(*command, "--dry-run", cwd=tmp_path)
    assert "1 cell, 1 of them done" in done.stdout
    assert "a probe" not in done.stdout
    assert "nothing is left to do" in done.stdout
    (cell,) = load_cells(tmp_path / "results")
    (method,) = (open_registry([box]).method("box"),)
    known = costs_of_cells([cell], {"box": method}, cell.environment.device)
    assert list(known.slice_s.values()) == [
        pytest.approx(cell.environment.wall_s / cell.data.slices)
    ]
    assert known.memory_mb == cell.environment.peak_memory_mb
    assert costs_of_cells([cell], {"box": method}, "cuda:0 (another)") == Costs()
    spec = cell.spec.model_copy(update={"params": {"of_another_version": 1}})
    older = cell.model_copy(update={"spec": spec})
    assert costs_of_cells([older], {"box": method}, cell.environment.device) == Costs()
    anew = uad_bench(*command, "--dry-run", "--overwrite", "all", cwd=tmp_path)
    assert "earlier cells" in anew.stdout
