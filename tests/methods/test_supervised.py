"""A supervised method is tested on what it did not learn from, and stands apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from made_pages import json_of
from safetensors.numpy import load_file
from supervised_runs import run, uad_bench

import uad_bench as ub
from uad_bench.cells import CellRecord
from uad_bench.results import load_cells


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
    drawn = file.read_text()
    assert "Pupil (MSLUB)‡" in drawn
    assert "Bright" in drawn


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
