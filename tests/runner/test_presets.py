"""A preset reaches the methods that have it, the user's flags win, and a wrong name is one line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.results import ResultsFolder
from uad_bench.runner.config import load_config
from uad_bench.runner.detectors.trainer import Trainer
from uad_bench.runner.detectors.tuning import tune
from uad_bench.runner.plan.make import make_plan
from uad_bench.runner.plan.plan import Plan
from uad_bench.study_record import Trial
from uad_bench.tuning.search import Found

METHOD = '''
"""A toy."""
from uad_bench import method
from uad_bench.method import FitReport, MethodInfo, tunable


class Toy(method.Method):
    class Params(method.Params):
        gain: float = tunable(0.5, 0.1, 1.0)
        steps: int = 10

    info = MethodInfo(
        name="toy",
        title="Toy",
        first_trial={"gain": 0.9},
        presets={"paper": {"gain": 0.2, "steps": 40}, "quick": {"steps": 1}},
    )
    objective = ("l1",)

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        return slices.image
'''


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    file = tmp_path / "toy.py"
    file.write_text(METHOD)
    return file


def plan(toy: Path, **flags) -> Plan:
    config = load_config(
        None, {"methods": "toy,thresholding", "datasets": "mslub", "plugin": toy, **flags}
    )
    return make_plan(config, open_registry(config.plugin))


def values(made: Plan, name: str = "toy") -> dict[str, object]:
    (planned,) = (p for p in made.methods if p.method.info.name == name)
    return planned.params.model_dump()


def test_a_preset_wins_over_the_defaults_and_a_flag_over_the_preset(toy):
    assert values(plan(toy)) == {"gain": 0.5, "steps": 10}
    assert values(plan(toy, preset="quick")) == {"gain": 0.5, "steps": 1}
    assert values(plan(toy, preset="paper")) == {"gain": 0.2, "steps": 40}
    flags = {"toy.steps": 7}
    assert values(plan(toy, preset="paper", param=flags)) == {"gain": 0.2, "steps": 7}


def test_a_method_without_the_preset_is_left_as_it_is(toy):
    plain, preset = plan(toy), plan(toy, preset="paper")
    for name in ("thresholding", "control-black", "control-mean"):
        assert values(preset, name) == values(plain, name)


def test_what_a_preset_sets_is_still_tuned_and_what_a_flag_sets_is_not(toy):
    def fixed(**flags) -> dict[str, object]:
        return next(c.params for c in plan(toy, **flags).cells() if c.method == "toy")

    assert fixed(preset="paper") == {"steps": 40}
    assert fixed(preset="paper", tune=False) == {"gain": 0.2, "steps": 40}
    assert fixed(preset="paper", param={"toy.gain": 0.3}) == {"gain": 0.3, "steps": 40}


def test_tuning_starts_from_the_preset_in_a_study_of_its_own(toy, tmp_path, monkeypatch):
    asked = []

    def watch(evaluate, wanted, name, *_) -> Found:
        asked.append((wanted.first, wanted.default, name))
        metrics = {metric.name: 1.0 for metric in wanted.metrics}
        return Found((Trial(number=1, params=dict(wanted.default), metrics=metrics),), {})

    monkeypatch.setattr("uad_bench.runner.detectors.tuning.search", watch)
    for preset in (None, "quick", "paper"):
        made = plan(toy, preset=preset)
        training = SimpleNamespace(manifest_hash="data", simulated=False)
        results = ResultsFolder(tmp_path / "results")
        trainer = Trainer(training, training, results, made.config, "cpu", lambda event: None)
        (planned,) = (p for p in made.methods if p.method.info.name == "toy")
        # the same fixed parameters, so that only the start tells the studies apart
        tune(trainer, planned.method, planned.params.model_copy(update={"steps": 10}))
    (plain, plain_default, study), (quick, _, same), (paper, default, own) = asked
    assert plain == quick == {"gain": 0.9}
    assert plain_default == {"gain": 0.5}
    assert paper == default == {"gain": 0.2}
    assert study == same != own


def test_an_unknown_preset_is_one_line_with_the_known_ones(toy):
    with pytest.raises(UadBenchError) as caught:
        plan(toy, preset="papr")
    assert str(caught.value) == "--preset papr: unknown; the methods of this run have: paper, quick"
    with pytest.raises(UadBenchError, match=r"--preset paper: unknown; .* have: none"):
        plan(toy, preset="paper", methods="thresholding")


def test_an_unknown_method_is_not_also_an_unknown_preset(toy):
    with pytest.raises(UadBenchError) as caught:
        plan(toy, preset="paper", methods="tay")
    assert "preset" not in str(caught.value)


@pytest.mark.parametrize("name", open_registry(None).names("method"))
def test_the_preset_of_a_built_in_method_is_valid(name):
    method = open_registry(None).method(name)
    for given in method.info.presets.values():
        assert given.keys() <= method.Params.model_fields.keys()
        assert method.Params(**given).model_fields_set == given.keys()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("patchcore", {"backbone": "wide-resnet50-2"}),
        ("padim", {"backbone": "resnet18", "channels": 100}),
        ("anomaly-dino", {"backbone": "dinov2-vits14"}),
    ],
)
def test_the_papers_network_needs_its_file(name, values):
    config = load_config(None, {"methods": name, "datasets": "mslub", "preset": "paper"})
    with pytest.raises(UadBenchError) as caught:
        make_plan(config, open_registry(None))
    wanted = f"{name}: backbone {values['backbone']} needs a weight file: set its parameter weights"
    assert str(caught.value) == wanted
    assert open_registry(None).method(name).info.presets["paper"] == values


def test_the_papers_recipe_of_thor_is_thor_s():
    config = load_config(None, {"methods": "thor", "datasets": "mslub", "preset": "paper"})
    found = values(make_plan(config, open_registry(None)), "thor")
    wanted = {
        "noise": "gaussian",
        "trained_to": 1000,
        "start": 350,
        "ddim_steps": 350,
        "harmonisations": 3,
        "batch_size": 16,
        "learning_rate": 1e-4,
        "width": 128,
        "steps": 1000,  # the paper's epochs are of a number of slices that is not known
    }
    assert {name: found[name] for name in wanted} == wanted


def test_show_lists_presets(toy, capsys):
    assert main(["show", "toy", "--plugin", str(toy)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["PARAMETER", "DEFAULT", "PAPER", "QUICK", "VALUES", "MEANING"] in rows
    assert ["gain", "0.5", "0.2", "float", "Tuned", "from", "0.1", "to", "1."] in rows
    assert ["steps", "10", "40", "1", "int"] in rows


def test_the_flag_reaches_the_plan(toy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "--methods", "toy", "--datasets", "mslub", "--plugin", str(toy)]
    assert main([*arguments, "--preset", "paper", "--dry-run"]) == 0
    assert "gain=0.2, steps=40" in capsys.readouterr().out
    assert main([*arguments, "--preset", "papr", "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --preset papr: unknown")
