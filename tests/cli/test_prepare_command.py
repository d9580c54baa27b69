"""``uad-bench prepare``: raw scans become a dataset; nothing is done twice, nobody is lost."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from uad_bench.cli import main
from uad_bench.phantom.scan import PhantomScan
from uad_bench.system.extras import install_command
from uad_bench.volumes.store import standardise as steps
from uad_bench.volumes.store import write
from uad_bench.volumes.store.prepared import PreparedDataset, PreparedScan

ants = pytest.importorskip("ants", reason="raw scans need the extra [prepare]")

RECIPE = "pixel_mm: 2.0\nslice_mm: 4.0\n"


@dataclass(frozen=True)
class Lab:
    """A raw BIDS dataset of two turned brains and one in MNI152 space, and where things go."""

    dataset: Path
    recipe: Path
    cache: Path
    page: Path

    def run(self, *more: str) -> int:
        return main(
            [
                *("prepare", "--datasets", f"bids:{self.dataset}", "--recipe", str(self.recipe)),
                *("--cache", str(self.cache), "--page", str(self.page), "-j", "1", *more),
            ]
        )

    @property
    def store(self) -> PreparedDataset:
        """The newest store."""
        folders = (self.cache / "prepared").glob("bids-*")
        return PreparedDataset.open(max(folders, key=lambda f: f.stat().st_mtime_ns))

    @property
    def done(self) -> list[str]:
        """The kept steps."""
        return sorted(file.name for file in (self.cache / "prepared" / "steps").glob("[!.]*"))


def pose(number: int) -> np.ndarray:
    """A turn and a shift: MNI152 world to the scanner's."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (8, -6, 10 * number), degrees=True).as_matrix()
    affine[:3, 3] = (12.0, -20.0, 9.0)
    return affine


def save(path: Path, data: np.ndarray, affine: np.ndarray, code: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    nib.save(image, path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, brains: tuple[PhantomScan, ...]) -> Path:
    root = tmp_path_factory.mktemp("raw")
    for number, brain in enumerate(brains, start=1):
        affine, code = (brain.affine, 4) if number == 3 else (pose(number) @ brain.affine, 1)
        name = f"sub-{number:02d}"
        save(root / name / "anat" / f"{name}_FLAIR.nii.gz", brain.flair, affine, code)
        manual = root / "derivatives" / "manual" / name / "anat"
        save(manual / f"{name}_label-lesion_mask.nii.gz", brain.lesion, affine, code)
    return root


@pytest.fixture
def lab(dataset: Path, tmp_path: Path) -> Lab:
    """The dataset's folder is each test's own, the registrations of the first are shared."""
    recipe = tmp_path / "coarse.yaml"
    recipe.write_text(RECIPE)
    mine = tmp_path / "lab"
    shutil.copytree(dataset, mine)
    kept = dataset.parent / "kept"
    if kept.is_dir():
        shutil.copytree(kept, tmp_path / "cache" / "prepared" / "steps")
    return Lab(mine, recipe, tmp_path / "cache", tmp_path / "page")


@pytest.fixture
def prepared(lab: Lab, dataset: Path, capsys: pytest.CaptureFixture[str]) -> Lab:
    assert lab.run() == 0
    kept = dataset.parent / "kept"
    if not kept.is_dir():
        shutil.copytree(lab.cache / "prepared" / "steps", kept)
    capsys.readouterr()
    return lab


def by_name(store: PreparedDataset) -> dict[str, PreparedScan]:
    return {scan.name: scan for scan in store.scans}


def test_raw_scans_are_registered_and_those_in_template_space_are_not(
    prepared: Lab, brains: tuple[PhantomScan, ...]
) -> None:
    scans = by_name(prepared.store)
    assert list(scans) == ["sub-01", "sub-02", "sub-03"]
    assert [scan.standard.registered for scan in scans.values()] == [True, True, False]
    assert scans["sub-03"].standard.registration == "published in MNI152 space"
    for number, brain in enumerate(brains[:2], start=1):
        scan = scans[f"sub-{number:02d}"]
        found = np.array(scan.standard.to_mni152) @ pose(number)
        places = np.argwhere(brain.brain) @ brain.affine[:3, :3].T + brain.affine[:3, 3]
        error = np.linalg.norm(places @ found[:3, :3].T + found[:3, 3] - places, axis=1)
        assert error.mean() < 2.0
        assert scan.has_lesion
        after, before = scan.quality.lesion_ml_after, scan.quality.lesion_ml_before
        assert after == pytest.approx(before, rel=0.4)


def test_every_cost_is_in_the_manifest_and_the_second_time_nothing_is_done(
    prepared: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((prepared.store.folder / "manifest.json").read_text())
    costs = [[step["name"] for step in scan["standard"]["steps"]] for scan in manifest["scans"]]
    assert costs == [["register", "slice"], ["register", "slice"], ["slice"]]

    def never(*_: object) -> None:
        raise AssertionError("registered twice")

    monkeypatch.setattr(steps, "register", never)
    assert prepared.run() == 0
    assert "3 ready" in capsys.readouterr().out
    prepared.recipe.write_text(RECIPE + "normalisation: percentile\n")
    assert prepared.run() == 0  # another store, but the same registrations
    assert len(list((prepared.cache / "prepared").glob("bids-*"))) == 2


def test_the_page_shows_every_scan(prepared: Lab) -> None:
    page = (prepared.page / "index.html").read_text()
    pictures = {f"pictures/{file.name}" for file in (prepared.page / "pictures").iterdir()}
    assert len(pictures) == 3
    for name in ("sub-01", "sub-02", "sub-03", *pictures):
        assert name in page


@pytest.mark.slow
def test_a_registration_that_failed_is_held_out_by_name(
    prepared: Lab,
    brains: tuple[PhantomScan, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = np.eye(4)
    away[:3, 3] = (0.0, 45.0, 20.0)
    right = steps.register

    def wrong(image, brain, affine, target, kind):  # type: ignore[no-untyped-def]
        found = right(image, brain, affine, target, kind)
        return away @ found if np.allclose(affine[:3, :3], turned) else found

    turned = (pose(1) @ brains[0].affine)[:3, :3]
    for file in prepared.cache.glob("prepared/steps/register-*"):
        file.unlink()
    prepared.recipe.write_text(RECIPE + "normalisation: percentile\n")
    monkeypatch.setattr(steps, "register", wrong)
    assert prepared.run() == 0
    said = capsys.readouterr()
    assert re.search(r"sub-01: left out: its brain covers ", said.err)
    assert "2 ready, 1 held out" in said.out
    (left,) = prepared.store.excluded
    assert (left.scan, left.state) == ("sub-01", "held out")
    assert list(by_name(prepared.store)) == ["sub-02", "sub-03"]
    assert "held out" in (prepared.page / "index.html").read_text()


@pytest.mark.slow
def test_a_scan_excluded_by_hand_is_in_no_store_and_can_be_taken_back(
    prepared: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    before = prepared.store.manifest_hash
    flags = ["--datasets", f"bids:{prepared.dataset}"]
    assert main(["exclude", "sub-02", "--because", "moved a lot", *flags]) == 0
    assert prepared.run() == 0
    (left,) = prepared.store.excluded
    assert (left.scan, left.state) == ("sub-02", "excluded")
    assert "moved a lot" in left.reason
    assert prepared.store.manifest_hash != before
    assert "moved a lot" in (prepared.page / "index.html").read_text()
    run = ["run", "--methods", "thresholding", "--controls", "control-black", "--no-mlflow"]
    run += [*flags, "--recipe", str(prepared.recipe), "--cache", str(prepared.cache)]
    run += ["--phantoms", "1", "-j", "1", "--results", str(prepared.page / "results")]
    assert main(run) == 0
    assert "sub-02" in capsys.readouterr().out  # in the table's footnote
    assert main(["exclude", "sub-02", "--undo", "--because", "it was another", *flags]) == 0
    assert prepared.run() == 0
    assert "3 ready" in capsys.readouterr().out


def test_a_dataset_of_which_everybody_is_excluded_is_no_crash(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--datasets", f"bids:{lab.dataset}", "--because", "of another hospital"]
    for number in (1, 2, 3):
        assert main(["exclude", f"sub-{number:02d}", *flags]) == 0
    capsys.readouterr()
    assert lab.run() == 1
    assert "0 ready, 3 excluded: nothing can be used" in capsys.readouterr().out
    assert "of another hospital" in (lab.page / "index.html").read_text()


def test_dry_run_says_what_is_to_do_and_does_nothing(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in lab.cache.glob("prepared/steps/*"):
        file.unlink()
    assert lab.run("--dry-run") == 0
    said = capsys.readouterr().out
    assert re.search(r"sub-01 +register, slice", said)
    assert re.search(r"sub-03 +slice", said)
    assert "about" in said
    assert not lab.page.exists()
    assert lab.done == []


def test_dry_run_knows_what_was_done(prepared: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepared.run("--dry-run") == 0
    assert re.search(r"sub-01 +register \(done\), slice", capsys.readouterr().out)


def test_a_kill_between_two_scans_loses_no_registration(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in lab.cache.glob("prepared/steps/*"):
        file.unlink()
    calls = []

    def killed(image, brain, affine, target, kind):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return np.linalg.inv(pose(len(calls)))

    monkeypatch.setattr(steps, "register", killed)
    assert lab.run() == 130
    assert len(lab.done) == 1
    assert lab.run() == 0
    assert len(calls) == 3  # the second scan's, again; not the first's


@pytest.mark.parametrize(
    ("file", "before", "done"),
    [("step", 0, 0), ("slices", 0, 1), ("step", 1, 1), ("slices", 1, 2), ("picture", 2, 2)],
)
def test_a_disk_that_fills_up_at_any_write_is_one_line_and_finished_steps_stay(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    before: int,
    done: int,
) -> None:
    """Steps and pictures are written by one function, slices by another."""
    for kept in lab.cache.glob("prepared/steps/*"):
        kept.unlink()
    calls = []

    def aligned(image, brain, affine, target, kind):  # type: ignore[no-untyped-def]
        calls.append(1)
        return np.linalg.inv(pose(len(calls)))

    def filling(original):  # type: ignore[no-untyped-def]
        left = iter(range(before))

        def attempt(*arguments: object) -> None:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            original(*arguments)

        return attempt

    monkeypatch.setattr(steps, "register", aligned)
    with monkeypatch.context() as small:
        if file == "slices":
            arrays = 3  # image, brain and lesion of each scan
            before *= arrays
            small.setattr(write.ArrayFile, "append", filling(write.ArrayFile.append))
        else:
            disk = SimpleNamespace(**vars(os) | {"fsync": filling(os.fsync)})
            small.setattr("uad_bench.system.disk.os", disk)
        assert lab.run() == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error")]
    assert "the disk is full" in line
    assert len(lab.done) == done
    assert not list(lab.cache.rglob("*partial*"))
    assert not (lab.page / "index.html").exists()
    calls[:] = calls[:done]
    assert lab.run() == 0
    assert len(calls) == 2  # none twice


def test_a_process_that_is_killed_goes_on_where_it_was(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in lab.cache.glob("prepared/steps/*"):
        file.unlink()
    command = [sys.executable, "-c", "import sys; from uad_bench.cli import main; sys.exit(main())"]
    command += ["prepare", "--datasets", f"bids:{lab.dataset}", "--recipe", str(lab.recipe)]
    command += ["--cache", str(lab.cache), "--page", str(lab.page), "-j", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not lab.done and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    (first,) = lab.done
    before = (lab.cache / "prepared" / "steps" / first).read_bytes()
    assert not list((lab.cache / "prepared").glob("bids-*"))
    monkeypatch.setattr(steps, "register", lambda *_: np.linalg.inv(pose(2)))  # the one left
    assert lab.run() == 0
    assert len(lab.done) == 2
    assert (lab.cache / "prepared" / "steps" / first).read_bytes() == before
    assert len(lab.store.scans) == 3


def test_without_ants_one_line_says_what_to_install(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from importlib.metadata import PackageNotFoundError

    def absent(name: str) -> str:
        if name == "antspyx":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(steps, "version", absent)
    monkeypatch.setitem(sys.modules, "ants", None)
    assert lab.run() == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error")]
    assert install_command("prepare") in line
    assert not lab.page.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--datasets", "bids:nowhere"], "no such folder"),
        (["--datasets", "mslub"], "dataset mslub is not in"),
        (["--recipe", "medain"], "unknown; available: median, paper"),
        (["--template", "."], "t1_stripped.nii.gz"),
        (["--tissues", "nothing.yaml"], "--tissues nothing.yaml"),
    ],
)
def test_bad_input_is_one_line(
    lab: Lab, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    assert lab.run(*flags) == 2
    assert words in capsys.readouterr().err
    assert not lab.page.exists()


def test_a_recipe_file_says_at_once_all_that_is_wrong(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.recipe.write_text("pixel: 3\nstrip: bet\n")
    assert lab.run() == 2
    said = capsys.readouterr().err
    assert "pixel: unknown key" in said
    assert "strip: Input should be" in said
