"""Protects: the benchmark of controls finds a metric that ranks one that sees no image first."""

from __future__ import annotations

import sys

import pytest
from made_cells import made_cell

from studies import controls_ranks
from uad_bench.cells import CellRecord
from uad_bench.evaluation.values import Metric
from uad_bench.results import ResultsFolder, write_cell


def cell(method: str, **metrics: Metric) -> CellRecord:
    return made_cell(method, metrics=metrics)


def test_equal_values_share_a_rank_and_each_metric_has_its_own_best_side():
    values = {
        "a": {"auprc": 0.5, "hd95": 9.0, "fpr": 0.0, "prevalence": 0.1},
        "b": {"auprc": 0.5, "hd95": 3.0, "fpr": 0.012, "prevalence": 0.1},
        "c": {"auprc": 0.1, "hd95": 5.0, "fpr": 0.5, "prevalence": 0.1},
        "d": {"auprc": None, "hd95": None, "fpr": None, "prevalence": None},
    }
    sides = {
        "auprc": {},
        "hd95": {"better": "lower"},
        "fpr": {"better": None, "target": 0.01},
        "prevalence": {"better": None},
    }
    records = [
        cell(name, **{key: Metric(value=value, **sides[key]) for key, value in found.items()})
        for name, found in values.items()
    ]

    def ranks(name):
        return {method: rank for (method, _), rank in controls_ranks.ranks(records, name).items()}

    assert ranks("auprc") == {"a": 1, "b": 1, "c": 3}
    assert ranks("hd95") == {"b": 1, "c": 2, "a": 3}
    assert ranks("fpr") == {"b": 1, "a": 2, "c": 3}
    assert ranks("prevalence") == {}


@pytest.mark.parametrize(("blind", "code"), [(0.2, 0), (0.5, 1), (0.7, 1)])
def test_a_blind_control_in_front_of_a_default_metric_is_an_exit_code(
    blind, code, tmp_path, monkeypatch, capsys
):
    for name, value in (("spa", 0.5), ("control-random", blind), ("control-centre", 0.1)):
        write_cell(ResultsFolder(tmp_path), cell(name, auprc=Metric(value=value)))
    monkeypatch.setattr(sys, "argv", ["controls_ranks.py", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        controls_ranks.main()
    assert left.value.code == code
    assert ("control-random (none) ranks first in auprc of mslub" in capsys.readouterr().out) == (
        code == 1
    )


def test_a_run_without_the_blind_controls_shows_nothing(tmp_path, monkeypatch):
    write_cell(ResultsFolder(tmp_path), cell("spa", auprc=Metric(value=0.5)))
    monkeypatch.setattr(sys, "argv", ["controls_ranks.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="has no result of control-centre, control-random"):
        controls_ranks.main()
