"""Controls stand in every table, and those that train get what the methods beside them get."""

from __future__ import annotations

import pytest
from uad_bench.methods.control_denoising import ControlDenoising
from uad_bench.methods.dae import DAE

from uad_bench.cli import main
from uad_bench.cli.options import open_registry
from uad_bench.errors import UadBenchError
from uad_bench.runner.config import load_config
from uad_bench.runner.plan import make_plan

UNTRAINED = ["control-black", "control-mean"]
TRAINED = ["control-no-prior", "control-denoising"]


def planned(methods: str, **flags) -> dict[str, dict[str, object]]:
    """Every method of a run with its parameters, in order."""
    config = load_config(None, {"methods": methods, "datasets": "mslub", **flags})
    made = make_plan(config, open_registry(()), "cpu")
    return {one.method.name: one.params.model_dump() for one in made.methods}


def test_networks_stand_beside_four_controls_and_what_trains_nothing_beside_two():
    assert list(planned("vae")) == ["vae", *UNTRAINED, *TRAINED]
    assert list(planned("outlier,thresholding")) == ["outlier", "thresholding", *UNTRAINED]


def test_the_controls_that_the_user_names_are_the_only_ones():
    assert list(planned("spa", controls="control-black")) == ["spa", "control-black"]
    assert list(planned("spa", controls="")) == ["spa"]


def test_a_denoising_unet_among_the_methods_is_not_trained_twice():
    assert list(planned("dae,vae")) == ["dae", "vae", *UNTRAINED, "control-no-prior"]


def test_a_control_of_the_methods_own_list_is_as_the_user_sets_it():
    found = planned("spa,control-no-prior", param={"spa.steps": 7})
    assert found["control-no-prior"] == planned("control-no-prior")["control-no-prior"]
    assert list(found).count("control-no-prior") == 1


def test_controls_get_the_largest_budget_of_the_methods():
    budget = {"vae.steps": 50, "vae.width": 8, "gmvae.steps": 40, "gmvae.batch_size": 2}
    found = planned("gmvae,vae", param={**budget, "gmvae.width": 8})
    for name in TRAINED:
        assert {key: found[name][key] for key in ("steps", "width", "batch_size")} == {
            "steps": 50,
            "width": 8,
            "batch_size": 4,
        }


def test_spa_without_prior_is_the_spa_of_this_run_in_all_but_beta():
    given = {"steps": 5, "width": 4, "snr": 4.0, "beta": 1e-3, "corruption": "noise"}
    found = planned("spa,vae", param={f"spa.{k}": v for k, v in given.items()} | {"vae.width": 64})
    spa, control = found["spa"], found["control-no-prior"]
    assert (spa.pop("beta"), control.pop("beta")) == (1e-3, 0.0)
    assert spa == control
    assert found["control-denoising"]["width"] == 64
    assert found["control-denoising"]["corruption"] == "noise"


def test_the_preset_of_spa_is_that_of_its_control():
    found = planned("spa", preset="paper", param={"spa.steps": 11})
    spa, control = found["spa"], found["control-no-prior"]
    assert spa.pop("beta") > control.pop("beta") == 0
    assert spa == control
    assert control["steps"] == 11


def test_what_the_user_sets_for_a_control_wins():
    found = planned("spa", param={"spa.steps": 5, "control-denoising.steps": 6})
    assert found["control-denoising"]["steps"] == 6
    assert found["control-no-prior"]["steps"] == 5


def test_the_denoising_control_is_the_dae():
    assert ControlDenoising.control
    assert ControlDenoising.Params is DAE.Params
    assert not ControlDenoising.citation


def test_a_wrong_parameter_is_told_of_the_method_alone(capsys):
    run = ["run", "--methods", "spa", "--datasets", "mslub", "--dry-run"]
    assert main([*run, "--param", "spa.snr=0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --param spa.snr:")
    assert "control" not in line


def test_an_unknown_control_is_one_line_with_the_known_ones():
    with pytest.raises(UadBenchError, match="control-blakc") as caught:
        planned("spa", controls="control-blakc")
    assert "\n" not in str(caught.value)
