"""What a dry run says that a run takes: every training and every look at a scan, and no failure."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from uad_bench.cli import main
from uad_bench.errors import DivergenceError, RunError, UadBenchError
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.config import load_config
from uad_bench.runner.costs import estimate as estimates
from uad_bench.runner.costs.amounts import Amount
from uad_bench.runner.costs.estimate import Estimate, estimate
from uad_bench.runner.costs.known import Costs, cost_key
from uad_bench.runner.detectors.trainings import trainings
from uad_bench.runner.plan.make import make_plan

HEALTHY = """
from uad_bench import method
from uad_bench.errors import UadBenchError
from uad_bench.method import FitReport, MethodInfo, tunable


class Healthy(method.ReconstructionMethod):
    class Params(method.Params):
        gain: float = tunable(0.5, 0.1, 1.0)
        steps: int = 80

    info = MethodInfo(name="healthy", title="Healthy")
    objective = ("l1",)

    def fit(self, train, validation, context):
        raise UadBenchError("2 people are needed")

    def reconstruct(self, slices):
        return slices.image
"""

TAUGHT = """
from uad_bench import method
from uad_bench.method import FitReport, MethodInfo


class Taught(method.Method):
    class Params(method.Params):
        steps: int = 80

    info = MethodInfo(name="taught", title="Taught", needs=frozenset({"lesion_masks"}))

    def fit(self, train, validation, context):
        return FitReport()

    def score(self, slices):
        return slices.image
"""

STEP_S, SLICE_S = 2.0, 0.25
TRAIN, VALIDATION, TEST = 300, 40, 100
AMOUNT = Amount({}, {"train": TRAIN, "validation": VALIDATION, "test": TEST})


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two methods; a probe of either finds the same costs, and every dataset is as large."""

    def probe(method: Any, params: Any, *_: object) -> Costs:
        parts = {cost_key(root, own) for root, own, _ in trainings(method, params, 0)}
        scored = {*parts, cost_key(method, params)}
        return Costs(dict.fromkeys(parts, STEP_S), dict.fromkeys(scored, SLICE_S))

    monkeypatch.setattr(estimates, "probe", probe)
    monkeypatch.setattr(estimates, "noise", lambda _: None)
    monkeypatch.setattr(estimates, "probe_evaluation", lambda *_: 0.0)
    monkeypatch.setattr(estimates, "find_amount", lambda *_, **__: AMOUNT)
    folder = tmp_path / "toys"
    folder.mkdir()
    (folder / "healthy.py").write_text(HEALTHY)
    (folder / "taught.py").write_text(TAUGHT)
    return folder


def estimated(toys: Path, probed: list[str] | None = None, **flags: object) -> Estimate:
    """The estimate of a run of which nothing is done."""
    given = {"datasets": "wmh", "controls": "none", "postprocessing": "none", "plugin": toys}
    config = load_config(None, {**given, **flags})
    orders: Any = SimpleNamespace(training=None, evaluated={}, supervised={})
    plan = make_plan(config, open_registry(config.plugin))
    return estimate(plan, orders, (), "cpu", [].append if probed is None else probed.append)


def test_a_training_on_every_dataset_counts_for_every_seed(toys: Path) -> None:
    found = estimated(toys, methods="taught", supervised_on="wmh,mslub,msisbi", seeds="0,1")
    assert [one.planned.supervised_on for one in found.methods] == ["wmh", "mslub", "msisbi"]
    assert [one.train_s for one in found.methods] == [2 * 80 * STEP_S] * 3


def test_what_this_command_probed_is_from_a_probe(toys: Path) -> None:
    probed: list[str] = []
    found = estimated(toys, probed, methods="taught", supervised_on="wmh,mslub")
    assert [one.source for one in found.methods] == ["a probe"] * 2
    assert probed == ["probe taught"]


@pytest.mark.parametrize(
    ("objective", "looked_at"),
    [("reconstruction", 0), ("ssim", VALIDATION), ("painted", VALIDATION)],
)
def test_a_trial_counts_the_scans_that_its_objective_looks_at(
    toys: Path, objective: str, looked_at: int
) -> None:
    found = estimated(toys, methods="healthy", objective=objective, trials=7)
    (one,) = found.methods
    assert one.tune_s == 7 * (80 // 8 * STEP_S + looked_at * SLICE_S)
    assert one.train_s == 80 * STEP_S
    assert one.score_s == (VALIDATION + TEST) * SLICE_S


@pytest.mark.parametrize("failing", ["probe", "noise", "probe_evaluation"])
@pytest.mark.parametrize(
    "error",
    [
        UadBenchError("2 people are needed"),
        RunError("the database does not answer"),
        DivergenceError("the loss is no longer finite"),
        OSError(errno.ENOSPC, "No space left on device"),
        MemoryError(),
        ZeroDivisionError("division by zero"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_probe_that_fails_ends_no_dry_run(
    toys: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: Exception
) -> None:
    asked: list[object] = []

    def fail(*_: object) -> None:
        asked.append(failing)
        if len(asked) == 1:
            raise error

    whole = getattr(estimates, failing)
    monkeypatch.setattr(estimates, failing, lambda *some: fail() or whole(*some))
    found = estimated(toys, methods="taught,healthy", supervised_on="wmh")
    failed, other = found.methods
    assert (str(error) or "not enough memory") in failed.unknown
    assert failed.total_s == 0
    assert other.unknown == ""
    assert other.source == "a probe"


def test_a_dry_run_says_whose_cost_is_unknown_and_why(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "healthy.py"
    file.write_text(HEALTHY)
    words = ["run", "-m", "healthy", "--plugin", str(file), "--data-root", str(lab)]
    words += ["--datasets", "wmh", "--controls", "", "--no-tune", "--dry-run"]
    code = main([*words, "--results", str(tmp_path / "results")])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "unknown: 2 people are needed" in said.out
    assert "without 1 that could not be probed" in said.out
