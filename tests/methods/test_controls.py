"""Controls stand in every table, and those that train get what the methods beside them get."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uad_bench.methods.control_centre import ControlCentre
from uad_bench.methods.control_denoising import ControlDenoising
from uad_bench.methods.control_random import ControlRandom
from uad_bench.methods.dae import DAE

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.evaluation.scores.histograms import ScoreHistogram, average_precision, quantise
from uad_bench.method import FitContext, Slices
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.config import load_config
from uad_bench.runner.plan.controls import default_controls
from uad_bench.runner.plan.make import make_plan

UNTRAINED = ["control-black", "control-centre", "control-mean", "control-random"]
TRAINED = ["control-denoising", "control-no-prior"]


def planned(methods: str, **flags) -> dict[str, dict[str, object]]:
    """Every method of a run with its parameters, in order."""
    config = load_config(None, {"methods": methods, "datasets": "mslub", **flags})
    made = make_plan(config, open_registry(()))
    return {one.method.info.name: one.params.model_dump() for one in made.methods}


def test_networks_stand_beside_six_controls_and_what_trains_nothing_beside_four():
    assert list(planned("vae")) == ["vae", *UNTRAINED, *TRAINED]
    assert list(planned("outlier,thresholding")) == ["outlier", "thresholding", *UNTRAINED]


def test_random_scores_are_drawn_for_every_seed():
    config = load_config(None, {"methods": "spa,thresholding", "datasets": "mslub", "seeds": "0,1"})
    made = make_plan(config, open_registry(()))
    seeds = {one.method.info.name: one.seeds for one in made.methods}
    assert seeds["control-random"] == seeds["spa"] == (0, 1)
    assert seeds["control-centre"] == seeds["thresholding"] == (0,)


def test_the_controls_that_the_user_names_are_the_only_ones():
    assert list(planned("spa", controls="control-black")) == ["spa", "control-black"]
    assert list(planned("spa", controls="")) == ["spa"]
    assert list(planned("spa", controls="none")) == ["spa"]


STRANGER = '''"""A stranger's control."""

from uad_bench.method import FitReport, Method, MethodInfo


class Half(Method):
    info = MethodInfo(
        name="half",
        title="Half",
        trains=False,
        control=True,
        beside="all",
        stands_for="outlier",
    )

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        return slices.image / 2
'''


def test_a_strangers_control_stands_where_its_class_says(tmp_path):
    (tmp_path / "half.py").write_text(STRANGER)
    registry = open_registry([tmp_path])
    methods = {name: registry.method(name) for name in ("thresholding", "outlier")}
    assert "half" in default_controls(registry, [methods["thresholding"]])
    assert "half" not in default_controls(registry, list(methods.values()))
    assert "half" not in default_controls(open_registry(()), [methods["thresholding"]])


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


def test_controls_compute_in_the_precision_of_the_method_whose_budget_they_have():
    coarse = {"vae.width": 64, "vae.precision": "bfloat16"}
    found = planned("gmvae,vae", param=coarse)
    assert {found[name]["precision"] for name in TRAINED} == {"bfloat16"}
    found = planned("gmvae,vae", param=coarse | {"gmvae.width": 128})
    assert {found[name]["precision"] for name in TRAINED} == {"float32"}


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
    assert ControlDenoising.info.control
    assert ControlDenoising.Params is DAE.Params
    assert not ControlDenoising.info.citation


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


# --- controls that see no image ---------------------------------------------------------------

BLIND = (ControlRandom, ControlCentre)
MM = (2.0, 1.5, 1.5)


def fitted(control, seed=0):
    method, slices = control(), head(0)
    method.fit(slices, slices, FitContext(seed=seed))
    return method


def head(seed, depth=9):
    """A brain of an ellipsoid, some slices of which are missing, with a noisy image."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[:depth, :32, :28]
    centre = (depth / 2, 16 + rng.normal(), 14 + rng.normal())
    brain = sum(((a - c) / c) ** 2 for a, c in zip((z, y, x), centre, strict=True)) < 0.8
    kept = np.flatnonzero(rng.random(depth) > 0.2)
    image = (rng.random((len(kept), 1, 32, 28)) * brain[kept][:, None]).astype(np.float32)
    return Slices(image, brain[kept][:, None], kept + 40, MM)


@pytest.mark.parametrize("control", BLIND)
@given(seed=st.integers(0, 50))
@settings(deadline=None, max_examples=20)
def test_a_blind_control_scores_the_same_whatever_the_image_shows(control, seed):
    method, scan = fitted(control), head(seed)
    other = replace(scan, image=np.where(scan.brain, np.float32(0.3), np.float32(0)))
    score = method.score(scan)
    assert np.array_equal(score, method.score(other))
    assert score.dtype == np.float32
    assert score.min() >= 0
    assert score.max() <= 1
    assert not score[~scan.brain].any()


def test_random_scores_follow_from_the_seed_the_place_and_the_brain_and_not_from_the_batch():
    scan, method = head(1), fitted(ControlRandom)
    whole = method.score(scan)
    for row in range(len(scan)):
        one = slice(row, row + 1)
        part = Slices(scan.image[one], scan.brain[one], scan.z[one], scan.spacing)
        assert np.array_equal(method.score(part), whole[one])
    assert not np.array_equal(fitted(ControlRandom, seed=1).score(scan), whole)
    assert not np.array_equal(method.score(replace(scan, z=scan.z + 1)), whole)
    again = ControlRandom()
    again.load(method.state())
    assert np.array_equal(again.score(scan), whole)


def test_random_scores_are_uniform_and_their_auprc_is_the_prevalence():
    scan = head(2, depth=41)
    scores, brain = fitted(ControlRandom).score(scan), scan.brain
    share, _ = np.histogram(scores[brain], bins=10, range=(0, 1))
    assert share / brain.sum() == pytest.approx(0.1, abs=0.01)
    lesion = (brain & (np.random.default_rng(0).random(brain.shape) < 0.1)).astype(np.uint8)
    histogram = ScoreHistogram.of(quantise(scores), lesion, brain)
    assert average_precision(histogram) == pytest.approx(histogram.prevalence, abs=0.01)


@given(seed=st.integers(0, 50), threshold=st.floats(0.7, 0.99))
@settings(deadline=None, max_examples=20)
def test_the_centre_control_predicts_the_brain_within_a_ball_in_mm(seed, threshold):
    scan = head(seed)
    score = fitted(ControlCentre).score(scan)
    row, _, y, x = np.nonzero(scan.brain)
    places = np.stack([scan.z[row], y, x], axis=1) * np.array(MM)
    away = np.linalg.norm(places - places.mean(axis=0), axis=1)
    inside = score[scan.brain] >= threshold
    assert away[inside].max(initial=0) <= 150 * (1 - threshold) + 1e-3
    assert away[~inside].min(initial=np.inf) >= 150 * (1 - threshold) - 1e-3


@pytest.mark.parametrize("control", BLIND)
def test_a_blind_control_scores_a_scan_without_brain(control):
    scan = head(3)
    empty = replace(scan, brain=np.zeros_like(scan.brain))
    assert not fitted(control).score(empty).any()
