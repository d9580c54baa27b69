"""Ensembles: surprises of healthy people, fused, and detectors that the engine trains once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from uad_bench.cli import main
from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, FitReport, Method, MethodInfo, Params, Slices
from uad_bench.plugins.conformance import check_method
from uad_bench.plugins.registry import PluginSources, discover
from uad_bench.results import load_cells
from uad_bench.training.ensemble import Ensemble, EnsembleParams, SurpriseCurve

MEMBER = '''
"""A detector that writes down that it was trained."""
import numpy as np
from pathlib import Path
from uad_bench.method import FitReport, Method, MethodInfo, Params, tunable

class Member(Method):
    class Params(Params):
        """Hyper-parameters."""
        level: float = tunable(0.5, 0.1, 0.9, ge=0.0, le=1.0)
        """Where bright begins."""

    info = MethodInfo("the-member", "Member")
    objective = ("misfit",)

    def fit(self, train, validation, context):
        with Path("trainings.txt").open("a") as log:
            log.write(f"{context.seed} {self.params.level}\\n")
        self.level_, self.seed_ = self.params.level, context.seed
        return FitReport(steps=1, validation={"misfit": abs(self.params.level - 0.3) + 0.1})

    def score(self, slices):
        noise = np.random.default_rng(self.seed_).random(slices.image.shape, np.float32)
        return np.clip(slices.image - np.float32(self.level_) + noise / 4, 0, 1) * slices.brain
'''

TEAM = '''
"""Several of them."""
from pydantic import Field
from uad_bench.method import MethodInfo
from uad_bench.training.ensemble import Ensemble, EnsembleParams
from .member import Member

class Team(Ensemble):
    class Params(EnsembleParams):
        """Hyper-parameters."""
        seeds: int = Field(default=2, ge=1)
        the_member: Member.Params = Member.Params()
        """Of the member."""

    info = MethodInfo("team", "Team")
    members = (Member,)
'''


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache").symlink_to(prepared)
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "member.py").write_text(MEMBER)
    (folder / "team.py").write_text(TEAM)
    return folder


def run(lab, folder, *more):
    fixed = ("run", "--datasets", "wmh", "--controls", "", "--limit", "1", "--no-mlflow")
    where = ("--data-root", str(lab), "--plugin", str(folder), "--cache", "cache")
    return main([*fixed, *where, "--postprocessing", "none", "--trials", "3", *more])


def trained(tmp_path):
    """Seed and level of every training, in order."""
    return [tuple(line.split()) for line in (tmp_path / "trainings.txt").read_text().splitlines()]


def test_the_detectors_of_the_run_are_taken(lab, folder, tmp_path):
    assert run(lab, folder, "--methods", "the-member,team", "--no-tune") == 0
    assert trained(tmp_path) == [("0", "0.5"), ("1", "0.5")]
    assert run(lab, folder, "--methods", "team", "--no-tune", "--seeds", "0,1") == 0
    assert trained(tmp_path)[2:] == [("2", "0.5"), ("3", "0.5")]  # no training is in two ensembles
    cells = [cell for cell in load_cells(tmp_path / "results") if cell.spec.method == "team"]
    assert {cell.spec.seed for cell in cells} == {0, 1}
    assert cells[0].spec.params["the_member"] == {"level": 0.5}
    assert sum(note.startswith("member ") for note in cells[0].fit.notes) == 2


def test_a_member_has_the_values_that_are_set_for_its_method(lab, folder, tmp_path):
    given = ("--param", "the-member.level=0.4", "--param", "team.fusion=max")
    assert run(lab, folder, "--methods", "team", *given) == 0
    assert trained(tmp_path) == [("0", "0.4"), ("1", "0.4")]


def test_a_member_that_cannot_be_trained_is_named_and_fails_its_ensemble_alone(
    lab, folder, tmp_path
):
    failing = MEMBER.replace(
        "        self.level_,",
        "        if context.seed:\n"
        "            raise DivergenceError('the loss is no longer finite')\n"
        "        self.level_,",
    ).replace("import numpy", "from uad_bench.errors import DivergenceError\nimport numpy")
    (folder / "member.py").write_text(failing)
    assert run(lab, folder, "--methods", "the-member,team", "--no-tune") == 1
    cells = {cell.spec.method: cell for cell in load_cells(tmp_path / "results")}
    assert cells["the-member"].state == "done"
    said = "member the-member, seed 1: the loss is no longer finite"
    assert (cells["team"].state, cells["team"].reason) == ("failed", said)


def test_a_member_whose_file_is_gone_is_refused_with_the_line_that_wants_it(lab, folder, capsys):
    (folder / "member.py").unlink()
    assert run(lab, folder, "--methods", "team,nosuch", "--no-tune") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "team does not import" in error
    assert "member" in error
    assert "nosuch" in error, "all reasons at once"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("team.the_member.level=0.4", "write the-member.level=VALUE, which holds for this member"),
        ("the-member.level=7", "--param the-member.level: Input should be less than or equal to 1"),
        ("the-member.leve=0.1", "--param the-member.leve: unknown; did you mean level?"),
        (
            "team.the_member={level: 0.4}",
            "give its parameters one by one, as the-member.NAME=VALUE",
        ),
        ("team.the_member=5", "give its parameters one by one, as the-member.NAME=VALUE"),
    ],
)
def test_a_wrong_parameter_of_a_member_is_one_line(lab, folder, capsys, given, said):
    assert run(lab, folder, "--methods", "team", "--param", given) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error
    assert "not part of this run" not in error


def test_a_member_is_tuned_once_by_itself(lab, folder, tmp_path):
    assert run(lab, folder, "--methods", "the-member,team") == 0
    assert len(trained(tmp_path)) == 3 + 2
    found = {cell.spec.method: cell.spec.params for cell in load_cells(tmp_path / "results")}
    assert found["team"]["the_member"] == found["the-member"]
    before = trained(tmp_path)
    assert run(lab, folder, "--methods", "team") == 0
    assert trained(tmp_path) == before


def test_it_keeps_the_contract_and_a_member_without_a_field_does_not(folder):
    registry = discover(PluginSources((folder,)))
    assert check_method(registry.method("team")) == []
    (folder / "team.py").write_text(TEAM.replace("the_member:", "another:"))
    registry = discover(PluginSources((folder,)))
    assert "members" in {fault.rule for fault in check_method(registry.method("team"))}


scores = st.lists(st.integers(0, 60), min_size=2000, max_size=2000).map(
    lambda values: np.array(values, np.float32) / 64
)


@settings(max_examples=15)
@given(healthy=scores)
def test_a_surprise_is_the_logarithm_of_a_share_of_healthy_voxels(healthy):
    curve = SurpriseCurve.of(healthy)
    asked = np.unique(healthy)
    share = np.array([(healthy >= one).mean() for one in asked])
    found, expected = curve(asked), -np.log10(share)
    assert (np.diff(found) > -1e-12).all()
    counted = expected < 2.5
    # Between the knots, 0.05 apart, nothing is known but the order.
    gap = np.diff(expected, prepend=0.0).max()
    assert np.abs(found - expected)[counted].max() <= gap + 0.05


def test_above_every_healthy_score_the_order_stays_and_an_exponential_tail_goes_on():
    rng = np.random.default_rng(0)
    healthy = rng.exponential(0.02, 400_000).astype(np.float32)
    curve = SurpriseCurve.of(healthy)
    asked = np.linspace(0, 1, 200, dtype=np.float32)
    found = curve(asked)
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(found, asked / 0.02 / np.log(10), rtol=0.06, atol=0.01)


def test_healthy_scores_that_a_method_caps_go_on_as_they_fell_off_before():
    """`outlier` caps what is no lesion: not one healthy score is above, and lesions' are."""
    rng = np.random.default_rng(0)
    free = rng.exponential(0.02, 400_000)
    cap = np.quantile(free, 0.94)
    curve = SurpriseCurve.of(np.minimum(free, cap).astype(np.float32))
    asked = np.linspace(cap + 1e-3, 1, 200)
    expected = 3 + (asked - cap) / 0.02 / np.log(10)
    np.testing.assert_allclose(curve(asked), expected, rtol=0.02)


@pytest.mark.parametrize("healthy", [0.0, 0.25])
def test_equal_healthy_scores_leave_the_order_of_all_above(healthy):
    curve = SurpriseCurve.of(np.full(5000, healthy, np.float32))
    found = curve(np.linspace(healthy, 1, 100))
    assert (np.diff(found) > 0).all()
    assert found[-1] == pytest.approx(20)


class Noisy(Method):
    """The image with noise of its own."""

    info = MethodInfo("noisy", "Noisy")

    def fit(self, train: Slices, validation: Slices, context: FitContext) -> FitReport:
        self.seed_ = context.seed
        return FitReport()

    def score(self, slices: Slices) -> np.ndarray:
        seed = [self.seed_, int(slices.image.sum() * 1000)]
        noise = np.random.default_rng(seed).random(slices.image.shape, np.float32)
        return ((slices.image + 2 * noise) / 3 * slices.brain).astype(np.float32)


class Team(Ensemble):
    """Five of them."""

    class Params(EnsembleParams):
        """Hyper-parameters."""

        seeds: int = 5
        noisy: Params = Params()

    info = MethodInfo("team", "Team")
    members = (Noisy,)


def slices(seed: int) -> Slices:
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 0.5, (20, 1, 32, 32)).astype(np.float32)
    return Slices(image, np.ones(image.shape, bool), np.arange(20), (3.0, 2.0, 2.0))


def fitted(fusion: str = "mean") -> Team:
    team = Team(Team.Params(fusion=fusion))
    team.fit(slices(0), slices(1), FitContext(3))
    team.calibrate(slices(1), FitContext(3))
    return team


def test_together_they_see_a_lesion_better_than_alone():
    team, scan = fitted(), slices(2)
    lesion = np.random.default_rng(5).random(scan.image.shape) < 0.02
    scan.image[lesion] = 0.55
    alone = [average_precision_score(lesion.ravel(), m.score(scan).ravel()) for m in team.joined]
    together = average_precision_score(lesion.ravel(), team.score(scan).ravel())
    assert together > 1.3 * max(alone)


@pytest.mark.parametrize(("fusion", "fuse"), [("mean", np.mean), ("max", np.max)])
def test_the_map_is_the_fused_surprise_over_20(fusion, fuse):
    team, scan = fitted(fusion), slices(2)
    healthy = slices(1)
    curves = [SurpriseCurve.of(member.score(healthy).ravel()) for member in team.joined]
    each = [curve(member.score(scan)) for curve, member in zip(curves, team.joined, strict=True)]
    np.testing.assert_allclose(team.score(scan), fuse(each, axis=0) / 20, atol=1e-6)
    assert [member.seed_ for member in team.joined] == [15, 16, 17, 18, 19]


class Sure(Noisy):
    """Says nothing of healthy tissue, and the same of every lesion."""

    info = MethodInfo("sure", "Sure")

    def score(self, slices: Slices) -> np.ndarray:
        return np.where(slices.image > 0.5, 0.4, np.minimum(0.02, slices.image / 20)).astype("f4")


class Pair(Ensemble):
    """A detector that caps healthy scores, and one that does not."""

    class Params(EnsembleParams):
        """Hyper-parameters."""

        sure: Params = Params()
        noisy: Params = Params()

    info = MethodInfo("pair", "Pair")
    members = (Sure, Noisy)


def test_a_detector_that_caps_healthy_scores_does_not_silence_the_other():
    pair, scan = Pair(), slices(2)
    pair.fit(slices(0), slices(1), FitContext(0))
    pair.calibrate(slices(1), FitContext(0))
    lesion = np.random.default_rng(5).random(scan.image.shape) < 0.02
    scan.image[lesion] = 0.55
    found = pair.score(scan)
    assert found.max() < 1
    assert found[lesion].min() > found[~lesion].max()
    order = np.argsort(pair.joined[1].score(scan)[lesion])
    assert (np.diff(found[lesion][order]) >= 0).all()
    assert len(np.unique(found[lesion])) > 100


class Lacking(Noisy):
    """Cannot be used here."""

    info = MethodInfo("lacking", "Lacking")

    @classmethod
    def resolve(cls, params):
        raise UadBenchError(f"weights {cls.info.name}.pt: No such file or directory")


class Missing(Lacking):
    """Neither can this."""

    info = MethodInfo("missing", "Missing")


def test_all_that_members_lack_is_said_at_once():
    class Poor(Ensemble):
        class Params(EnsembleParams):
            """Hyper-parameters."""

            lacking: Params = Params()
            noisy: Params = Params()
            missing: Params = Params()

        info = MethodInfo("poor", "Poor")
        members = (Lacking, Noisy, Missing)

    said = "member lacking: weights lacking.pt: .*; member missing: weights missing.pt: "
    with pytest.raises(UadBenchError, match=said):
        Poor.resolve(Poor.Params())


def test_healthy_voxels_are_needed():
    team, healthy = Team(), slices(1)
    team.fit(slices(0), healthy, FitContext(0))
    few = Slices(healthy.image[:1, :, :16], healthy.brain[:1, :, :16], healthy.z[:1], (3, 2, 2))
    with pytest.raises(UadBenchError, match="team: 512 healthy validation voxels"):
        team.calibrate(few, FitContext(0))
