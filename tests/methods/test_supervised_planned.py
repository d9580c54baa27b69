"""A supervised method, or an ensemble of them, learns only where it can be tested as well."""

from __future__ import annotations

import shutil

import pytest
from supervised_runs import run, uad_bench

from uad_bench.phantom.layouts import write_layout
from uad_bench.plugins.conformance import check_method
from uad_bench.plugins.registry import open_registry
from uad_bench.results import load_cells


def test_what_cannot_be_is_refused_at_planning_all_at_once(lab, cache, plugins, tmp_path):
    shutil.copytree(lab / "MSLUB", tmp_path / "bare")
    for path in (tmp_path / "bare").rglob("consensus_gt*"):
        path.unlink()
    code, out, err = run(
        *(lab, tmp_path / "unused", plugins, "--methods", "pupil", "--datasets", "mslub"),
        *("--supervised-on", f"wmh,hi,msi,mslub:{lab / 'MSLUB'},mslub:{tmp_path / 'bare'}"),
        cwd=tmp_path,
    )
    line = " ".join(err.split())
    assert (code, out) == (2, "")
    assert line.startswith("error: ")
    for reason in (
        "--supervised-on wmh: ",
        "2 subjects with a lesion mask cannot be divided into train, validation and test",
        "--supervised-on hi: a healthy dataset",
        f"--supervised-on msi: not in {lab}",
        "mslub is the same folder, and would be tested on what was learned from",
        f"{tmp_path / 'bare'}: no lesion mask",
    ):
        assert reason in line
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "unused").exists()


def test_all_are_the_datasets_that_can_be_learned_from(lab, cache, plugins, tmp_path):
    arguments = ("--methods", "pupil", "--datasets", "wmh", "--supervised-on", "all", "--dry-run")
    code, out, err = run(lab, cache, plugins, *arguments, cwd=tmp_path)
    assert code == 0, err
    words = " ".join((out + err).split())
    assert "supervised methods do not learn from wmh: " in words
    assert "supervised methods do not learn from brats: not in" in words
    assert "mslub" in words
    shutil.rmtree(shutil.copytree(lab, tmp_path / "lab") / "MSLUB")
    code, _, err = run(tmp_path / "lab", cache, plugins, *arguments, cwd=tmp_path)
    assert code == 2
    assert "--supervised-on all: supervised methods do not learn from brats: not in" in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--methods", "pupil"), "pupil learns from lesion masks: name the datasets"),
        (("--methods", "bright", "--supervised-on", "mslub"), "no method of this run learns from"),
    ],
)
def test_a_supervised_method_and_its_dataset_belong_together(
    lab, cache, plugins, tmp_path, arguments, reason
):
    code, _, err = run(lab, cache, plugins, *arguments, "--datasets", "wmh", cwd=tmp_path)
    assert code == 2
    assert reason in " ".join(err.split())


def test_simulated_patients_must_be_enough_to_be_divided(cache, plugins, tmp_path):
    code, _, err = uad_bench(
        *("run", "--plugin", plugins, "--cache", cache, "--methods", "pupil", "--phantoms", "2"),
        *("--datasets", "mslub", "--supervised-on", "mslub", "--no-mlflow"),
        cwd=tmp_path,
    )
    assert code == 2
    assert "2 simulated patients cannot be divided" in " ".join(err.split())


def test_a_scan_that_is_learned_from_is_refused_where_another_dataset_tests_it(
    lab, cache, plugins, tmp_path
):
    shutil.copytree(lab / "MSLUB", tmp_path / "copied")
    code, _, err = run(
        *(lab, cache, plugins, "--methods", "pupil", "--supervised-on", "mslub"),
        *("--datasets", f"mslub:{tmp_path / 'copied'}"),
        cwd=tmp_path,
    )
    assert code == 2
    words = "mslub-copied tests scans that supervised training dataset mslub learns from"
    assert words in " ".join(err.split())


@pytest.mark.parametrize("split", ["train", "test"])
def test_nobody_who_is_learned_from_decides_thresholds(
    lab, cache, plugins, brains, tmp_path, split
):
    """A healthy person of the training dataset's validation part is in both datasets."""
    mixed = tmp_path / "mixed"
    write_layout("msi", mixed, brains)
    (lent,) = (lab / "HI").rglob("sub-005*_FLAIR.nii.gz")
    (mixed / "sub-090" / "anat").mkdir(parents=True)
    shutil.copy(lent, mixed / "sub-090" / "anat" / "sub-090_FLAIR.nii.gz")
    rows = ("001\ttrain\tno", "002\tvalidation\tno", "003\ttest\tno", f"090\t{split}\tyes")
    table = "\n".join(f"sub-{row}" for row in rows)
    (mixed / "participants.tsv").write_text(f"participant_id\tsplit\thealthy\n{table}\n")
    code, _, err = run(
        *(lab, cache, plugins, "--methods", "pupil", "--datasets", "wmh", "--dry-run"),
        *("--supervised-on", f"bids:{mixed}"),
        cwd=tmp_path,
    )
    said = " ".join(err.split())
    assert code == (2 if split == "train" else 0), err
    expected = "bids-mixed: learns from healthy scans that thresholds and false alarms come from"
    assert (expected in said) == (split == "train")


TEAM = """
from uad_bench.method import MethodInfo
from uad_bench.training.ensemble import Ensemble, EnsembleParams
{imports}

class Team(Ensemble):
    class Params(EnsembleParams):
        pupil: Pupil.Params = Pupil.Params()
        bright: Bright.Params = Bright.Params()

    info = MethodInfo("team", "Team", needs=frozenset({{{needs}}}))
    members = ({members})
"""


def run_team(lab, plugins, cache, folder, members: str, needs: str) -> tuple[int, str, str]:
    """Run an ensemble of these members."""
    shutil.copytree(plugins, folder / "team")
    imports = "from .bright import Bright\nfrom .pupil import Pupil"
    text = TEAM.format(imports=imports, members=members, needs=needs)
    (folder / "team" / "team.py").write_text(text)
    wanted = ("--methods", "team", "--datasets", "wmh", "--supervised-on", "mslub", "--no-tune")
    return run(lab, cache, folder / "team", *wanted, cwd=folder)


@pytest.mark.parametrize(
    ("members", "needs", "said"),
    [
        ("Pupil,", "", "team: its member pupil needs lesion_masks: add it to the needs of team"),
        ("Pupil, Bright", '"lesion_masks"', "pupil learns from lesion masks, bright from healthy"),
    ],
)
def test_an_ensemble_with_a_supervised_member_is_supervised(
    lab, cache, plugins, tmp_path, members, needs, said
):
    code, _, err = run_team(lab, plugins, cache, tmp_path, members, needs)
    assert code == 2
    assert said in " ".join(err.split())
    registry = open_registry([tmp_path / "team"])
    assert "members" in {fault.rule for fault in check_method(registry.method("team"))}


def test_an_ensemble_of_supervised_members_learns_from_their_masks(lab, cache, plugins, tmp_path):
    code, _, err = run_team(lab, plugins, cache, tmp_path, "Pupil,", '"lesion_masks"')
    assert code == 0, err
    (made,) = load_cells(tmp_path / "results")
    assert made.supervised
    assert made.spec.supervised_on == made.training.dataset == "mslub"
