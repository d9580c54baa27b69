"""Methods that differ only in how they score share one training, its tuning and its parameters."""

from __future__ import annotations

from collections import Counter

import pytest

from uad_bench.cli import main
from uad_bench.plugins.conformance import check_method
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.results import load_cells

FAMILY = '''
"""A family: the trained one, and one that scores with a scale of its own."""
import numpy as np
from pathlib import Path
from pydantic import Field
from uad_bench.method import FitReport, Method, MethodInfo, Params, tunable

class Trained(Method):
    class Params(Params):
        """Hyper-parameters."""
        level: float = tunable(0.5, 0.1, 0.9, ge=0.0, le=1.0)
        """Where bright begins."""

    info = MethodInfo("trained", "Trained")
    objective = ("misfit",)

    def fit(self, train, validation, context):
        with Path("trainings.txt").open("a") as log:
            log.write(f"{self.params.level}\\n")
        self.level_ = self.params.level
        return FitReport(steps=1, validation={"misfit": abs(self.params.level - 0.3) + 0.1})

    def score(self, slices):
        return np.clip(slices.image - np.float32(self.level_), 0, 1)
'''

SHARING = '''
"""Scores as the other one, relative to what healthy people have."""
import numpy as np
from pydantic import Field
from uad_bench.method import MethodInfo
from .trained import Trained

class Sharing(Trained):
    class Params(Trained.Params):
        """Hyper-parameters."""
        power: float = Field(default=2.0, gt=0.0)
        """Exponent of the score."""

    info = MethodInfo("sharing", "Sharing")
    trained_as = Trained

    def calibrate(self, validation, context):
        self.top_ = float(validation.image.max())
        return (f"top {self.top_:.3g}",)

    def score(self, slices):
        relative = (super().score(slices) / np.float32(self.top_)).clip(0, 1)
        return relative ** np.float32(self.params.power)
'''


@pytest.fixture
def family(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache").symlink_to(prepared)
    folder = tmp_path / "family"
    folder.mkdir()
    (folder / "trained.py").write_text(FAMILY)
    (folder / "sharing.py").write_text(SHARING)
    return folder


def run(lab, family, tmp_path, *more):
    return main(
        [
            *(
                "run",
                "--datasets",
                "wmh",
                "--controls",
                "",
                "--limit",
                "1",
                "--data-root",
                str(lab),
            ),
            *("--postprocessing", "none", "--plugin", str(family), "--no-mlflow"),
            *("--cache", str(tmp_path / "cache"), "--trials", "3", *more),
        ]
    )


def cells(tmp_path):
    return {cell.spec.method: cell for cell in load_cells(tmp_path / "results")}


@pytest.mark.parametrize("order", ["trained,sharing", "sharing,trained"])
def test_a_shared_training_is_tuned_and_trained_once(lab, family, tmp_path, order):
    assert run(lab, family, tmp_path, "--methods", order) == 0
    trained, sharing = (cells(tmp_path)[name] for name in ("trained", "sharing"))
    levels = (tmp_path / "trainings.txt").read_text().split()
    assert len(levels) == 3 + 1  # three trials and one training
    assert sharing.spec.params["level"] == trained.spec.params["level"] == float(levels[-1])
    assert sharing.fit.tuned == trained.fit.tuned
    (journal,) = (tmp_path / "results/tuning").glob("trained-*.log")
    assert sharing.fit.studies == trained.fit.studies == (journal.stem,)
    assert sharing.fit.detector != trained.fit.detector
    assert any(note.startswith("top ") for note in sharing.fit.notes)
    assert not any(note.startswith("top ") for note in trained.fit.notes)


@pytest.mark.parametrize("order", ["trained,sharing", "sharing,trained"])
def test_what_is_overwritten_is_tuned_and_trained_once_too(lab, family, tmp_path, order):
    """The second method removed what the first one had just made anew, and might still use."""
    options = ("--methods", order)
    assert run(lab, family, tmp_path, *options) == 0
    before = (tmp_path / "trainings.txt").read_text().split()
    assert run(lab, family, tmp_path, *options, "--overwrite", "all") == 0
    assert (tmp_path / "trainings.txt").read_text().split() == 2 * before
    words = [*options, "--overwrite", "all", "--trials", "3", "--limit", "1", "--data-root"]
    words += [str(lab), "--plugin", str(family), "--cache", str(tmp_path / "cache")]
    assert main(["tune", *words]) == 0
    assert (tmp_path / "trainings.txt").read_text().split() == 2 * before + before[:3]


def test_what_is_set_for_the_training_holds_for_the_one_that_shares_it(lab, family, tmp_path):
    options = ("--methods", "trained,sharing", "--param", "trained.level=0.4")
    assert run(lab, family, tmp_path, *options) == 0
    assert (tmp_path / "trainings.txt").read_text().split() == ["0.4"]
    assert cells(tmp_path)["sharing"].spec.params == {"level": 0.4, "power": 2.0}


def test_what_is_set_for_the_one_that_shares_is_its_own(lab, family, tmp_path):
    options = ("--methods", "trained,sharing", "--param", "sharing.level=0.7", "--no-tune")
    assert run(lab, family, tmp_path, *options) == 0
    assert Counter((tmp_path / "trainings.txt").read_text().split()) == {"0.5": 1, "0.7": 1}
    assert cells(tmp_path)["sharing"].spec.params["level"] == 0.7


def test_own_parameters_of_scoring_train_nothing_anew(lab, family, tmp_path):
    assert run(lab, family, tmp_path, "--methods", "sharing", "--no-tune") == 0
    again = ("--methods", "sharing", "--no-tune", "--param", "sharing.power=3")
    assert run(lab, family, tmp_path, *again) == 0
    assert (tmp_path / "trainings.txt").read_text().split() == ["0.5"]


def test_a_users_value_is_not_tuned_away(lab, family, tmp_path):
    options = ("--methods", "sharing", "--param", "sharing.level=0.7")
    assert run(lab, family, tmp_path, *options) == 0
    assert set((tmp_path / "trainings.txt").read_text().split()) == {"0.7"}


def test_the_check_asks_for_a_base_whose_parameters_it_has(family):
    (family / "other.py").write_text(
        SHARING.replace("class Params(Trained.Params)", "class Params(Params)")
        .replace("Sharing", "Other")
        .replace('"sharing"', '"other"')
        .replace("import MethodInfo", "import MethodInfo, Params")
    )
    registry = discover(PluginSources((family,)))
    assert check_method(registry.method("trained")) == []
    assert check_method(registry.method("sharing")) == []
    assert "trained_as" in {fault.rule for fault in check_method(registry.method("other"))}
