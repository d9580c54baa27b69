"""An export that is run again: the same digits here, and in plain words what cannot be the same."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from made_cells import made_cell

import uad_bench as ub
from uad_bench.cells import CellRecord, FitRecord
from uad_bench.cli import main
from uad_bench.evaluation.values import Metric
from uad_bench.front.reproduce import Reproduction
from uad_bench.sharing.differences import differences
from uad_bench.sharing.reproduce import Comparison
from uad_bench.sharing.zips import LISTING


@pytest.fixture(scope="module")
def archive(lab, prepared, tmp_path_factory) -> Path:
    """A method without training and a short training, on one patient."""
    root = tmp_path_factory.mktemp("reproduce")
    done = ub.run(
        "thresholding,ae",
        "mslub",
        data_root=lab,
        cache=prepared,
        limit=1,
        param={"ae.steps": 2, "ae.width": 4},
        postprocessing="none",
        controls=(),
        tune=False,
        mlflow=False,
        progress=False,
        results=root / "results",
    )
    return done.export(root / "run.zip")


@pytest.fixture(scope="module")
def again(archive, lab, prepared) -> tuple[int, str, str]:
    """The command, done once in ``new`` beside the archive."""
    return uad_bench("reproduce", archive, *here(archive, lab, prepared), cwd=archive.parent)


def here(archive: Path, lab: Path, cache: Path) -> list[object]:
    return ["--results", archive.parent / "new", "--data-root", lab, "--cache", cache]


def uad_bench(*arguments: object, cwd: Path) -> tuple[int, str, str]:
    """Run a command in this process; its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def rewritten(archive: Path, path: Path, start: str, **changes: object) -> Path:
    """A copy of an archive in which some files say something else, and the listing agrees."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        listing = json.loads(old.read(LISTING))
        for name in listing["files"]:
            data = old.read(name)
            if name.startswith(start):
                data = json.dumps({**json.loads(data), **changes}).encode()
            size, sha256 = len(data), hashlib.sha256(data).hexdigest()
            listing["files"][name] = {"size": size, "sha256": sha256}
            new.writestr(name, data)
        new.writestr(LISTING, json.dumps(listing))
    return path


def test_here_every_digit_is_the_same(again):
    code, out, err = again
    assert code == 0
    assert err.count("check the files of every dataset") == 1
    assert "train ae" in err
    assert out.strip().endswith("every number of 2 cells is the same")


def test_a_number_that_moved_is_shown_with_then_and_now(again, archive, lab, prepared, tmp_path):
    with zipfile.ZipFile(archive) as old:
        name = next(one for one in old.namelist() if one.startswith("cells/thresholding"))
        metrics = json.loads(old.read(name))["metrics"]
    now = metrics["auprc"]["value"]
    metrics["auprc"]["value"] = now + 0.125
    edited = rewritten(archive, tmp_path / "edited.zip", name, metrics=metrics)
    code, out, _ = uad_bench("reproduce", edited, *here(archive, lab, prepared), cwd=tmp_path)
    assert code == 1
    (line,) = [line for line in out.splitlines() if line.startswith("thresholding mslub")]
    shown = [f"{now + 0.125:.6g}", f"{now:.6g}", "-0.12", "beyond", "the", "tolerance"]
    assert line.split()[-6:] == shown
    done = ub.reproduce(
        edited, archive.parent / "new", data_root=lab, cache=prepared, progress=False
    )
    assert not done.holds
    frame = done.to_frame()
    assert frame[frame.moved].metric.tolist() == ["auprc"]
    plan = json.loads((archive.parent / "new" / "plan.json").read_text())
    where = f"data_root={lab!r}, cache={prepared!r}"
    assert plan["command"] == (
        f"uad_bench.reproduce({str(edited)!r}, {str(archive.parent / 'new')!r}, {where})"
    )


def test_an_interrupted_reproduction_says_how_to_go_on_with_all_that_was_given(
    archive, lab, prepared, tmp_path, monkeypatch
):
    commands: list[str] = []

    def interrupted(*_: object, command: str) -> None:
        commands.append(command)
        raise KeyboardInterrupt

    monkeypatch.setattr("uad_bench.sharing.reproduce.run", interrupted)
    words = ["reproduce", str(archive), *map(str, here(archive, lab, prepared))]
    monkeypatch.setattr("sys.argv", ["uad-bench", *words])
    code, _, err = uad_bench(*words, cwd=tmp_path)
    assert code == 130
    (again,) = commands
    assert again == f"uad-bench {' '.join(words)}"
    assert err.endswith(f"go on with: {again}\n")


def test_other_scans_are_named_before_any_training(archive, lab, prepared, tmp_path):
    data = shutil.copytree(lab, tmp_path / "data")
    shutil.copy(data / "MSLUB/patient12/FLAIR.nii.gz", data / "MSLUB/patient11/FLAIR.nii.gz")
    with pytest.raises(ub.UadBenchError, match=r"other data than the archive's: 1 scan with other"):
        ub.reproduce(archive, tmp_path / "new", data_root=data, cache=prepared, progress=False)
    shutil.rmtree(data / "MSLUB")
    with pytest.raises(ub.UadBenchError, match=r"dataset mslub is not in"):
        ub.reproduce(archive, tmp_path / "new", data_root=data, cache=prepared, progress=False)
    assert not (tmp_path / "new" / "cells").exists()


def test_what_an_archive_says_falsely_of_itself_is_told_before_any_training(
    archive, lab, prepared, tmp_path
):
    def said(**changes):
        edited = rewritten(archive, tmp_path / "edited.zip", **changes)
        with pytest.raises(ub.UadBenchError, match=r"none of its cells can be run again") as caught:
            ub.reproduce(edited, tmp_path / "new", data_root=lab, cache=prepared, progress=False)
        assert not (tmp_path / "new").exists()
        return str(caught.value)

    with zipfile.ZipFile(archive) as old:
        name = next(one for one in old.namelist() if one.startswith("cells/thresholding"))
        data = json.loads(old.read(name))["data"]
    forged = {**data, "manifest_hash": "0123456789abcdef"}
    text = said(start="cells/", data=forged)
    assert "mslub is other data than the archive's: not those of the manifest 01234" in text
    assert "the settings of its run do not lead to it" in said(start="runs/", seeds=[3, 4])
    assert "settings of its run cannot be used (seeds.0: " in said(start="runs/", seeds=["x"])
    assert "settings of its run cannot be used (methods: " in said(start="runs/", methods=[])


def test_what_must_be_named_here_is_asked_for(archive, lab, prepared, tmp_path):
    with pytest.raises(ub.UadBenchError, match=r"used --data-root lab: give yours"):
        ub.reproduce(archive, tmp_path / "new", progress=False)
    with pytest.raises(ub.UadBenchError, match="seeds: the archive says it"):
        ub.reproduce(archive, tmp_path / "new", seeds=[1])
    old = rewritten(archive, tmp_path / "old.zip", "cells/", run="")
    with pytest.raises(ub.UadBenchError, match="does not hold the settings of its run"):
        ub.reproduce(old, tmp_path / "new", data_root=lab, progress=False)


def test_other_versions_are_said(again, archive, lab, prepared, tmp_path):
    del again
    other = rewritten(archive, tmp_path / "other.zip", "cells/ae", code="0", protocol_version=0)
    _, _, err = uad_bench("reproduce", other, *here(archive, lab, prepared), cwd=tmp_path)
    assert "the code of ae is another than the archive's" in err
    assert "the protocol strict is of another version" in err


def test_the_folder_of_the_archive_itself_is_no_reproduction(archive, lab, prepared, tmp_path):
    """Nothing would be computed in it, and every number would be the same."""
    with pytest.raises(ub.UadBenchError, match=r"results: holds cells of .*run\.zip themselves"):
        ub.reproduce(archive, archive.parent / "results", data_root=lab, progress=False)
    imported = ub.import_results(archive, tmp_path / "imported").folder
    code, _, err = uad_bench(
        *("reproduce", archive, "--results", imported, "--data-root", lab, "--cache", prepared),
        cwd=tmp_path,
    )
    assert code == 2
    assert err.count("\n") == 1
    assert "give a new folder with --results" in err


def test_no_number_at_all_is_not_every_number_the_same() -> None:
    nothing = Reproduction(Comparison((), {"a": "it fails here: why"}))
    assert repr(nothing) == "no number can be compared: 1 cells could not be run again"
    assert not nothing.holds
    assert nothing.to_frame().moved.sum() == 0


def test_a_number_that_neither_has_is_none_and_one_that_either_has_is_compared() -> None:
    def cell(**values: float | None) -> CellRecord:
        return made_cell("thresholding", metrics={k: Metric(value=v) for k, v in values.items()})

    found = differences(cell(dice=0.5, patient_auroc=None), cell(dice=None, patient_auroc=None))
    assert [(one.metric, one.then, one.now, one.within) for one in found] == [
        ("dice", 0.5, None, False)
    ]


def test_intervals_are_compared_with_what_follows_from_the_tolerance_of_their_number() -> None:
    def cell(steps: int = 0, **dice: float | None) -> CellRecord:
        fit = FitRecord(detector="a", steps=steps)
        return made_cell("ae", metrics={"dice": Metric(subjects=8, **dice)}, fit=fit)

    def compared(then: CellRecord, now: CellRecord) -> dict[str, bool]:
        return {one.part: one.within for one in differences(then, now)}

    whole = {"value": 0.5, "low": 0.4, "high": 0.6}
    assert compared(cell(**whole), cell(**whole)) == dict.fromkeys(whole, True)
    moved = cell(**{**whole, "high": 0.6 + 1e-9})
    assert compared(cell(**whole), moved) == {"value": True, "low": True, "high": False}
    forged = cell(200, **{**whole, "low": 0.05})
    assert compared(cell(200, **whole), forged) == {"value": True, "low": False, "high": True}
    near = cell(200, **{**whole, "low": 0.35})
    assert all(compared(cell(200, **whole), near).values())
    without = {"value": 0.5}  # all subjects have the same value
    assert all(compared(cell(200, **without), cell(200, **whole)).values())
    assert compared(cell(**without), cell(**whole)) == {"value": True, "low": False, "high": False}
