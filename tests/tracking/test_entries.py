"""What MLflow is told of a cell and of its detector."""

from __future__ import annotations

from pathlib import Path

import pytest
from tracked_cells import cell, told, use

from uad_bench.errors import UadBenchError
from uad_bench.evaluation.values import Metric


def test_every_number_of_a_cell_becomes_a_metric_and_undefined_ones_are_left_out(
    results: Path,
) -> None:
    points = {name: value for name, value, _ in told(results, cell()).metrics}
    assert points["auprc"] == 0.4
    assert points["interval/auprc.low"] == 0.25
    assert points["interval/auprc.high"] == 0.5
    assert points["threshold/fpr1"] == 0.25
    assert points["validation/l1"] == 0.1
    assert not [name for name in points if "hd" in name]


def test_infinite_numbers_never_reach_mlflow(results: Path) -> None:
    wild = cell(metrics={"auprc": Metric(value=float("inf"), low=float("nan"))})
    assert not [name for name, _, _ in told(results, wild).metrics if "auprc" in name]


def test_a_curve_is_the_detectors_and_no_cell_repeats_it(results: Path) -> None:
    points = told(results, cell(), "detector").metrics
    assert [point for point in points if point[0] == "training/l1"] == [
        ("training/l1", 0.9, 1),
        ("training/l1", 0.5, 2),
        ("training/l1", 0.25, 3),
    ]
    assert not [name for name, _, _ in told(results, cell()).metrics if "training/" in name]


def test_parameters_of_the_method_are_flattened_and_kept_apart_from_the_cell(
    results: Path,
) -> None:
    params = told(results, cell(seed=3)).params
    assert params["method"] == "spa"
    assert params["seed"] == "3"
    assert params["method.beta"] == "0.001"
    assert params["method.widths"] == "[16, 32]"
    assert params["method.prior.snr"] == "16.0"
    assert params["training.dataset"] == "hi"
    assert params["data.recipe"] == "median"
    assert params["tuned"] == "beta"


def test_tags_say_simulated_and_name_which_data_is(results: Path) -> None:
    tags = told(results, cell()).tags
    assert tags["simulated"] == "true"
    assert tags["mlflow.note.content"] == "**Simulated data**: trained on hi."
    real = cell(training=use("hi", simulated=False))
    assert told(results, real).tags["simulated"] == "false"
    assert "mlflow.note.content" not in told(results, real).tags


def test_a_name_says_method_seed_dataset_and_postprocessing(results: Path) -> None:
    assert told(results, cell(seed=2)).name == "spa s2 mslub none (simulated)"
    assert told(results, cell(seed=2), "detector").name == "detector spa s2 (simulated)"
    spec = cell().spec.model_copy(update={"supervised_on": "wmh", "protocol": "paper"})
    real = cell(spec=spec, training=use("hi", simulated=False))
    assert told(results, real).name == "spa on wmh s0 mslub none paper"


def test_times_are_those_of_the_cell_not_of_the_sending(results: Path) -> None:
    one = told(results, cell())
    assert one.end - one.start == 12_500
    naive = cell().environment.model_copy(update={"started": "2026-11-22T10:00:00"})
    assert told(results, cell(environment=naive)).start == one.start
    wrong = cell().environment.model_copy(update={"started": "yesterday"})
    with pytest.raises(UadBenchError, match="'yesterday', which is no time"):
        told(results, cell(environment=wrong))


def test_names_that_mlflow_would_refuse_are_made_acceptable(results: Path) -> None:
    odd = cell(metrics={"dice@5%": Metric(value=0.5)})
    assert ("dice_5_", 0.5, 0) in told(results, odd).metrics
