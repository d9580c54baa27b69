"""A run that tunes trains what was chosen, and says so."""

from __future__ import annotations

import json

from box_runs import BOX, quick, uad_bench

from uad_bench.results import load_cells

DEEP = [
    *("--methods", "spa,box", "--param", "spa.steps=1", "--param", "spa.width=2"),
    *("--trials", "1", "--param", "spa.snr=16"),
]


def test_tuning_that_only_diverges_fails_one_method_and_no_finished_cell(
    lab, cache, box, tmp_path, monkeypatch
):
    from uad_bench.errors import DivergenceError
    from uad_bench.runner.detectors.trainer import Trainer

    command = [*quick(lab, cache, box), *DEEP]
    assert uad_bench(*command, "--no-tune", cwd=tmp_path).returncode == 0

    def diverged(*_: object, **__: object) -> None:
        raise DivergenceError("the loss is no longer finite")

    monkeypatch.setattr(Trainer, "fit", diverged)
    before = {one: one.read_bytes() for one in (tmp_path / "results/cells").iterdir()}
    kept = uad_bench(*command, cwd=tmp_path)
    assert kept.returncode == 1, "untuned numbers are not passed off as tuned ones"
    assert "spa failed: every tuning trial diverged" in kept.stderr
    assert "1 cell failed; the table's footnotes say why" in kept.stderr
    assert "every tuning trial diverged" in " ".join(kept.stdout.split())
    assert before == {one: one.read_bytes() for one in (tmp_path / "results/cells").iterdir()}
    fresh = uad_bench(*command, "--results", "fresh", "--overwrite", "missing", cwd=tmp_path)
    assert fresh.returncode == 1, fresh.stderr
    assert {c.spec.method: c.state for c in load_cells(tmp_path / "fresh")} == {
        "spa": "failed",
        "box": "failed",
    }


def test_whole_numbers_are_tuned_as_whole_numbers(lab, cache, box, tmp_path):
    plugin = tmp_path / "grid.py"
    plugin.write_text(
        BOX.replace("FitReport, Method, ", "FitReport, Method, Params, tunable, ")
        .replace('"box", "Box")', '"grid", "Box")\n    objective = ("l1",)\n    Params = Sizes')
        .replace(
            "class Box", "class Sizes(Params):\n    size: int = tunable(9, 2, 32)\n\nclass Grid"
        )
        .replace("FitReport(steps=1, ", "FitReport(validation={'l1': 1 / self.params.size}, ")
    )
    command = [
        *quick(lab, cache, plugin),
        "--methods",
        "grid",
        "--trials",
        "4",
        "--objective",
        "reconstruction",
    ]
    done = uad_bench(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (cell,) = load_cells(tmp_path / "results")
    assert isinstance(cell.spec.params["size"], int)
    assert cell.spec.params["size"] > 9


def test_tuned_deep_method_is_trained_once_and_recorded(lab, cache, box, tmp_path):
    small = [f"spa.{p}" for p in ("steps=6", "width=2", "batch_size=2")]
    options = [part for item in small for part in ("--param", item)]
    command = [*quick(lab, cache, box), "--methods", "spa", "--trials", "2", *options]
    done = uad_bench(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = [c for c in load_cells(tmp_path / "results") if c.spec.method == "spa"]
    assert len(cells) == 1
    assert cells[0].fit.trials == 2
    assert set(cells[0].fit.tuned) == {"beta", "snr"}
    assert cells[0].spec.params["beta"] == cells[0].fit.tuned["beta"]
    stored = json.loads((tmp_path / "results/cells" / f"{cells[0].spec.name}.json").read_text())
    assert stored["environment"]["device"].startswith("cpu")
