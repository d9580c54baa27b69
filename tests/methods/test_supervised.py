"""A supervised method learns from a part of a dataset, is tested on the rest, and stands apart."""

from __future__ import annotations

import contextlib
import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_pages import json_of
from monai.losses import DiceLoss
from safetensors.numpy import load_file
from sklearn.metrics import average_precision_score
from torch.nn.functional import binary_cross_entropy_with_logits
from uad_bench.methods.unet import SupervisedUNet

import uad_bench as ub
from uad_bench.cells import CellRecord
from uad_bench.cli import main
from uad_bench.dataset import Reading, Scan
from uad_bench.discovery.people.splits import divided_for_supervision
from uad_bench.errors import UadBenchError
from uad_bench.method import FitContext, Slices
from uad_bench.models.losses.pixelwise import dice_cross_entropy
from uad_bench.phantom.layouts import write_layout
from uad_bench.plugins.conformance import check_method
from uad_bench.plugins.registry import open_registry
from uad_bench.results import load_cells

PUPIL = '''
"""Keeps all that it was given to learn from."""
import numpy as np
from uad_bench.method import FitReport, Method, MethodInfo

class Pupil(Method):
    info = MethodInfo("pupil", "Pupil", needs=frozenset({"lesion_masks"}))

    def fit(self, train, validation, context):
        self.images_ = np.concatenate([train.image, validation.image])
        self.masks_ = np.concatenate([train.lesion, validation.lesion])
        self.calibrated_ = ()
        return FitReport(slices_seen=len(train))

    def calibrate(self, validation, context):
        assert validation.lesion is None
        self.calibrated_ = validation.image[:, 0]
        return ()

    def score(self, slices):
        assert slices.lesion is None
        return np.clip(slices.image - 0.5, 0, 1).astype(np.float32)
'''

BRIGHT = """
import numpy as np
from uad_bench.method import FitReport, Method, MethodInfo

class {name}(Method):
    info = MethodInfo("{lower}", "{name}", trains=False)

    def fit(self, train, validation, context):
        assert train.lesion is None
        return FitReport()

    def score(self, slices):
        return (slices.image ** {power}).astype(np.float32)
"""


def uad_bench(*arguments: object, cwd: Path) -> tuple[int, str, str]:
    """Run a command in this process, as the console script would from ``cwd``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supervised method and two that are not."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "pupil.py").write_text(PUPIL)
    for name, power in (("Bright", 1), ("Brighter", 2)):
        text = BRIGHT.format(name=name, lower=name.lower(), power=power)
        (folder / f"{name.lower()}.py").write_text(text)
    return folder


@pytest.fixture(scope="module")
def cache(prepared: Path) -> Path:
    """Prepared datasets."""
    return prepared


def run(data: Path, cache: Path, plugins: Path, *more: object, cwd: Path) -> tuple[int, str, str]:
    common = ("--data-root", data, "--cache", cache, "--plugin", plugins, "--no-mlflow")
    return uad_bench("run", *common, "--controls", "", "--postprocessing", "none", *more, cwd=cwd)


@pytest.fixture(scope="module")
def other(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another dataset with masks: the first, in another contrast."""
    folder = tmp_path_factory.mktemp("other") / "Contrast"
    shutil.copytree(lab / "MSLUB", folder)
    for path in folder.rglob("*FLAIR*"):
        image = nib.load(path)
        values = np.sqrt(np.asarray(image.dataobj, np.float32))
        nib.save(nib.Nifti1Image(values, image.affine), path)
    return folder


@pytest.fixture(scope="module")
def done(lab, cache, plugins, other, tmp_path_factory) -> tuple[Path, str]:
    """A run of all three methods, twice: its folder, and the table that it printed."""
    folder = tmp_path_factory.mktemp("done")
    wanted = (
        *("--methods", "pupil,bright,brighter", "--datasets", "mslub,wmh"),
        *("--supervised-on", f"mslub,mslub:{other}"),
    )
    code, out, err = run(lab, cache, plugins, *wanted, cwd=folder)
    assert code == 0, err
    assert "0 computed now" in run(lab, cache, plugins, *wanted, cwd=folder)[2]
    return folder, out


def cell(cells: tuple[CellRecord, ...], method: str, dataset: str, on: str = "mslub") -> CellRecord:
    wanted = (method, dataset, on if method == "pupil" else "")
    (found,) = [c for c in cells if (c.spec.method, c.spec.dataset, c.spec.supervised_on) == wanted]
    return found


def learned(results: Path) -> dict[str, np.ndarray]:
    """What the pupil was given of MSLUB, from the detector that a run kept."""
    fit = cell(load_cells(results), "pupil", "mslub").fit
    return load_file(results / "detectors" / fit.detector / "state.safetensors")


def test_it_is_tested_on_the_subjects_that_it_did_not_learn_from(done):
    cells = load_cells(done[0] / "results")
    own, other = cell(cells, "pupil", "mslub"), cell(cells, "pupil", "wmh")
    assert (own.data.subjects, other.data.subjects) == (1, 2)
    assert cell(cells, "bright", "mslub").data.subjects == 3
    assert own.spec.supervised_on == other.spec.supervised_on == "mslub"
    assert own.training.dataset == "mslub"
    assert own.training.subjects == 1
    assert own.supervised
    elsewhere = cell(cells, "pupil", "mslub", "mslub-Contrast")
    assert elsewhere.data.subjects == 3
    assert elsewhere.fit.detector != own.fit.detector
    assert not cell(cells, "bright", "mslub").spec.supervised_on


def test_a_report_shows_it_on_the_scans_that_it_did_not_learn_from_and_marks_it(
    done, cache, plugins, tmp_path
):
    results = ub.load_results(done[0] / "results", plugin=[plugins])
    file = results.report(tmp_path / "report.html", cache=cache, patients=9, progress=False)
    page = file.read_text(encoding="utf-8")
    assert "maps computed for this page differ" not in page  # one dataset's images are the other's
    assert "Pupil (MSLUB) on MSLUB (simulated): only subjects who had no part in its tr" in page
    own = cell(results.cells, "pupil", "mslub").scans[0].subject
    shown = {
        (scan["dataset"], scan["name"]): [method["title"] for method in scan["methods"]]
        for scan in json_of(page, "browser-facts")["scans"]
    }
    assert len(shown) == 5
    for (dataset, name), titles in shown.items():
        here = dataset == "MSLUB (simulated)"
        taught = ["Pupil (MSLUB) (supervised, learned from this dataset)"] * (name == own)
        assert sorted(titles) == sorted(
            [
                "Bright",
                "Brighter",
                "Pupil (mslub-Contrast) (supervised)",
                *(taught if here else ["Pupil (MSLUB) (supervised)"]),
            ]
        )


def test_no_image_and_no_label_of_a_tested_subject_reaches_training(
    done, lab, cache, plugins, tmp_path
):
    """Another image and mask of every tested subject leave all that was learned as it is."""
    before = learned(done[0] / "results")
    assert before["masks_"].any()
    (tested,) = cell(load_cells(done[0] / "results"), "pupil", "mslub").scans
    shutil.copytree(lab, tmp_path / "lab")
    changed = list((tmp_path / "lab" / "MSLUB").rglob(f"{tested.subject}/*.nii.gz"))
    assert len(changed) > 1
    for path in changed:
        image = nib.load(path)
        kind = image.get_data_dtype()
        values = np.roll(np.asarray(image.dataobj), 1, axis=0).astype(kind)
        nib.save(nib.Nifti1Image(values, image.affine, image.header), path)
    code, _, err = run(
        *(tmp_path / "lab", cache, plugins, "--methods", "pupil", "--datasets", "mslub"),
        *("--supervised-on", "mslub"),
        cwd=tmp_path,
    )
    assert code == 0, err
    after = learned(tmp_path / "results")
    assert {name: value.tobytes() for name, value in after.items()} == {
        name: value.tobytes() for name, value in before.items()
    }
    numbers = [
        cell(load_cells(folder / "results"), "pupil", "mslub").metrics["auprc"].value
        for folder in (done[0], tmp_path)
    ]
    assert numbers[0] != numbers[1], "the changed labels were not tested either"


def test_thresholds_come_from_healthy_people_as_for_every_method(done):
    cells = load_cells(done[0] / "results")
    assert (
        cell(cells, "pupil", "wmh").thresholds.keys()
        == cell(cells, "bright", "wmh").thresholds.keys()
    )
    given = learned(done[0] / "results")
    assert len(given["calibrated_"]) > 0
    seen, healthy = (
        {image.tobytes() for image in given[name] if len(np.unique(image)) > 100}
        for name in ("images_", "calibrated_")
    )
    assert len(healthy) > 100
    assert not seen & healthy


def test_tables_set_it_apart_name_what_it_learned_from_and_never_rank_it(done):
    folder, out = done
    words = " ".join(out.split())
    assert "Supervised methods learned from 1 subject of MSLUB (simulated)." in words
    assert "Detectors learned from 4 subjects of HI (simulated)." in words
    code, text, err = uad_bench(
        *("table", "--results", "results", "-f", "markdown", "--metrics", "auprc"),
        *("--compare", "bright"),
        cwd=folder,
    )
    assert code == 0, err
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    titles = rows[0]
    (at,) = [n for n, title in enumerate(titles) if "Pupil<br>(MSLUB)‡" in title]
    assert at > max(n for n, title in enumerate(titles) if "Bright" in title)
    first, second, average = rows[2:5]
    assert any("**" in value for value in first)
    assert not any("**" in row[at] or "<u>" in row[at] for row in (first, second))
    assert average[at] == "–"
    assert "tested on the 1 of 3 subjects who had no part in its training" in text
    assert "<sup>" in first[at]
    assert "<sup>" not in second[at]
    assert "different data" not in text
    tests = text[text.index("paired Wilcoxon") :]
    assert "Pupil" not in tests[: tests.index("Best unsupervised")]


@pytest.mark.parametrize("name", ["precision-recall", "cost", "lesions", "froc"])
def test_figures_show_it_beside_the_others(done, cache, plugins, tmp_path, name):
    file = tmp_path / f"{name}.svg"
    again = ("--cache", cache, "--plugin", plugins) if name in ("lesions", "froc") else ()
    code, _, err = uad_bench("plot", name, "-o", file, *again, cwd=done[0])
    assert code == 0, err
    assert file.is_file()


def test_it_is_grouped_with_the_others_and_compared_where_all_are_tested(done):
    code, out, err = uad_bench("strata", "--by", "lesion-volume", cwd=done[0])
    assert code == 0, err
    assert "Pupil (MSLUB) on 1 of 3 subjects of MSLUB." in " ".join(out.split())
    code, out, err = uad_bench("compare", "pupil-on-mslub", "bright", cwd=done[0])
    assert code == 0, err
    assert "are not compared on MSLUB (simulated)" in " ".join(out.split())
    command = ("compare", "pupil-on-mslub", "bright", "--datasets", "mslub")
    code, _, err = uad_bench(*command, cwd=done[0])
    assert code == 2
    assert "is supervised, learned from it, and was tested on 1 of 3 subjects" in err


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


def patient(folder: Path, name: str, **facts) -> Scan:
    """A scan whose mask is there."""
    mask = folder / f"{name}-mask.nii"
    mask.touch()
    return Scan(name, folder / f"{name}.nii", lesion=(mask,), **facts)


@given(
    patients=st.sets(st.text("abc123", min_size=1, max_size=6), min_size=3, max_size=40),
    healthy=st.sets(st.text("xyz", min_size=1, max_size=4), max_size=10),
    order=st.randoms(use_true_random=False),
)
def test_division_is_by_person_and_leaves_lesions_in_every_part(
    tmp_path_factory, patients, healthy, order
):
    folder = tmp_path_factory.getbasetemp()
    scans = [
        *(patient(folder, name, session=str(k)) for name in patients for k in (1, 2)),
        *(Scan(name, folder / "f.nii", healthy=True) for name in healthy),
        Scan("nobody knows", folder / "f.nii"),
    ]
    shuffled = list(scans)
    order.shuffle(shuffled)
    found, again = (
        {scan.name: scan.split for scan in divided_for_supervision(folder, Reading(tuple(s))).scans}
        for s in (scans, shuffled)
    )
    assert found == again
    assert "nobody knows" not in found
    by_person = {name: {found[f"{name}_1"], found[f"{name}_2"]} for name in patients}
    assert all(len(splits) == 1 for splits in by_person.values())
    parts = [splits.pop() for splits in by_person.values()]
    assert set(parts) == {"train", "validation", "test"}
    assert abs(parts.count("train") - 0.6 * len(parts)) <= 1


def test_named_splits_are_kept_and_must_be_whole(tmp_path):
    named = [patient(tmp_path, name, split=name) for name in ("train", "validation", "test")]
    kept = divided_for_supervision(tmp_path, Reading(tuple(named))).scans
    assert [scan.split for scan in kept] == ["train", "validation", "test"]
    with pytest.raises(UadBenchError, match="nobody with a lesion mask is in validation"):
        divided_for_supervision(tmp_path, Reading((named[0], named[2])))


@given(seed=st.integers(0, 2**16), weight=st.floats(0, 2))
def test_the_loss_is_monais_dice_and_torchs_cross_entropy(seed, weight):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(0, 4, (3, 1, 5, 6)))
    lesion = torch.tensor(rng.integers(0, 2, logits.shape), dtype=torch.uint8)
    lesion[0] = 0
    everywhere = torch.ones_like(lesion, dtype=torch.bool)
    found = dice_cross_entropy(logits, lesion, everywhere, weight)
    truth = lesion.double()
    dice = DiceLoss(sigmoid=True, smooth_nr=1, smooth_dr=1, reduction="none")(logits, truth)
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2, 3))
    torch.testing.assert_close(found, dice.flatten() + weight * entropy)


def test_voxels_that_do_not_count_change_neither_the_loss_nor_its_gradient():
    logits = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    lesion = torch.zeros(2, 1, 6, 6, dtype=torch.uint8)
    lesion[:, :, 2:4, 2:4] = 1
    counted = torch.ones_like(lesion, dtype=torch.bool)
    counted[:, :, 0] = False
    results = []
    for value in (0, 1):
        given = logits.clone()
        given[:, :, 0] = 50.0 * value
        given.requires_grad_()
        masks = lesion.clone()
        masks[:, :, 0] = value
        loss = dice_cross_entropy(given, masks, counted, 0.8)
        loss.sum().backward()
        assert not given.grad[:, :, 0].any()
        results.append(loss.detach())
    assert torch.equal(*results)


def painted(seed: int, count: int) -> Slices:
    """Discs of noise: lesions are a texture of any brightness, which no threshold finds."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:32, :32] - 15.5
    brain = np.broadcast_to(np.hypot(row, column) < 14, (count, 1, 32, 32)).copy()
    image = np.full(brain.shape, 0.5) + rng.normal(0, 0.02, brain.shape)
    lesion = np.zeros(brain.shape, np.uint8)
    stripes = 0.2 * (-1.0) ** np.arange(32)
    for at in range(count):
        top, left = rng.integers(8, 18, 2)
        lesion[at, 0, top : top + 6, left : left + 6] = 1
    image = np.where(lesion == 1, image + stripes, image)
    image = np.where(brain, image.clip(0, 1), 0).astype(np.float32)
    return Slices(image, brain, np.arange(count), (1.0, 1.0, 1.0), lesion)


def test_the_unet_learns_what_its_masks_mark():
    train, validation, test = (painted(seed, count) for seed, count in ((0, 24), (1, 6), (2, 8)))
    blind = replace(test, lesion=None)
    found = {}
    for steps in (1, 60):
        unet = SupervisedUNet(SupervisedUNet.Params(width=4, steps=steps, learning_rate=0.01))
        report = unet.fit(train, validation, FitContext(seed=0))
        score = unet.score(blind)
        assert set(report.validation) == {"dice_cross_entropy"}
        truth = test.lesion[test.brain] == 1
        found[steps] = average_precision_score(truth, score[test.brain])
    chance, bright = truth.mean(), average_precision_score(truth, test.image[test.brain])
    assert found[60] > 0.8 > max(found[1], bright, chance)
    assert score[test.lesion == 1].mean() > score[(test.lesion == 0) & test.brain].mean()
    with pytest.raises(UadBenchError, match="lesion masks"):
        unet.fit(replace(train, lesion=None), validation, FitContext(seed=0))
