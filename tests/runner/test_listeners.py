"""MLflow listens to a run, and nothing that it meets ends the run."""

from __future__ import annotations

from pathlib import Path

from made_cells import made_cell

from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder, write_cell
from uad_bench.runner.events import Event, Noted
from uad_bench.runner.listeners import Mlflow


def test_a_study_that_cannot_be_read_does_not_end_a_run_whose_cells_are_done(tmp_path: Path):
    results = ResultsFolder(tmp_path / "results")
    write_cell(results, made_cell("spa"))
    results.tuning.mkdir()
    (results.tuning / "spa-1.json").write_text('{"of": "an older layout"}')
    told: list[Event] = []
    Mlflow(results, open_registry(None), told.append).finish()
    (note,) = told
    assert isinstance(note, Noted)
    assert "spa-1.json is no record of a tuning study" in note.text
    assert note.text.startswith("not everything is in MLflow (")
    assert note.text.endswith(f"`uad-bench sync --results {results.root}` sends the rest")
